"""`redink grade`: every line of the file has a verdict or stands in quarantine with its reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import ClassVar

import pytest
from loopback import completion, in_order, serving
from test_cli import run

from redink.answers.checkers import ExactChecker, checker_of
from redink.evaluation.judge import AnswerJudge
from redink.failures import BadInput
from redink.models.scripted import ScriptedChat
from redink.pipelines.grading import Prediction, grade_predictions, parts_of, read_predictions, summarise
from redink.stages.engine import Local
from redink.types import Problem, Verdict

ROWS = [
    {"id": "a", "prediction": "So 2 + 2 = \\boxed{4}.", "gold": "4"},
    {"id": "b", "prediction": "5", "gold": "6"},
    {"id": "c", "prediction": "I have no idea.\nNone at all.", "gold": "7"},
    {"prediction": 1.5, "gold": 1.5},
    {"id": 17, "prediction": None, "answer": "2*4 = 8\n#### 8"},
]


def write(path: Path, *lines: object) -> Path:
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def test_verdicts_by_row(tmp_path: Path) -> None:
    rows, bad = read_predictions(write(tmp_path / "p.jsonl", *ROWS))
    graded = grade_predictions(rows, checker_of("math"))
    assert bad == []
    assert [(row.id, row.line, row.answer, row.gold, row.verdict.outcome) for row in graded] == [
        ("a", 1, "4", "4", "right"),
        ("b", 2, "5", "6", "wrong"),
        ("c", 3, None, "7", "ungradable"),
        ("4", 4, "1.5", "1.5", "right"),
        ("17", 5, None, "8", "ungradable"),
    ]


BAD = [
    (b"{", "not_json"),
    (b"\xff\xfe", "not_json"),
    (b"[1]", "not_json"),
    ({"id": "x", "gold": "4"}, "no_prediction"),
    ({"id": "x", "prediction": ["4"], "gold": "4"}, "bad_prediction"),
    ({"id": "x", "prediction": True, "gold": "4"}, "bad_prediction"),
    (b'{"prediction": "so \\ud800", "gold": "4"}', "bad_text"),
    (b'{"prediction": "4", "question": "\\uDC00?", "gold": "4"}', "bad_text"),
    ({"id": "x", "prediction": "4"}, "no_gold"),
    ({"id": "x", "prediction": "4", "gold": " "}, "bad_gold"),
    ({"id": "x", "prediction": "4", "gold": ["4", "5"]}, "bad_gold"),
    ({"id": "x", "prediction": "4", "gold": False}, "bad_gold"),
]


@pytest.mark.parametrize(("line", "reason"), BAD)
def test_a_bad_row_is_set_aside_with_line_reason_and_text(tmp_path: Path, line: object, reason: str) -> None:
    path = write(tmp_path / "p.jsonl", ROWS[0], b"", line, ROWS[1])
    rows, bad = read_predictions(path)
    assert [number for number, _, _ in rows] == [1, 4]
    assert [(row.problem_id, row.reason) for row in bad] == [("p.jsonl:3", reason)]
    assert bad[0].raw == (line.decode("utf-8", "replace") if isinstance(line, bytes) else json.dumps(line))
    assert bad[0].detail


def test_whole_characters_are_well_however_they_are_written(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl", b'{"prediction": "\\ud835\\udfd2", "gold": "\\ud835\\udfd2", "unused": "\\ud800"}'
    )
    rows, bad = read_predictions(path)
    assert ([prediction for _, prediction, _ in rows], bad) == (["\U0001d7d2"], [])


def test_golds_of_a_file_of_their_own(tmp_path: Path) -> None:
    golds = write(tmp_path / "g.jsonl", {"id": "a", "answer": "4", "question": "2+2?"}, {"id": 5, "gold": "5"})
    path = write(
        tmp_path / "p.jsonl", {"id": "a", "prediction": "4"}, {"id": "5", "prediction": "6"}, {"id": "z", "prediction": "4"},
        {"prediction": "4"},
    )  # fmt: skip
    rows, bad = read_predictions(path, golds)
    assert [(problem.question, problem.answer) for _, _, problem in rows] == [
        ("2+2?", "4"), ("(the question is not known here)", "5"),
    ]  # fmt: skip
    assert [row.reason for row in bad] == ["no_gold", "no_id"]


@pytest.mark.parametrize(
    ("golds", "message"),
    [
        ([{"id": "a", "gold": "1"}, {"id": "a", "gold": "2"}], "g.jsonl:2, field 'id': 'a' stands twice."),
        ([{"gold": "1"}], "g.jsonl:1, field 'id': is missing."),
        ([b"{"], "g.jsonl:1: is not JSON"),
        ([b'{"id": "a", "gold": "\\ud800"}'], "g.jsonl:1: a text holds half a character"),
    ],
)
def test_a_gold_file_must_be_whole(tmp_path: Path, golds: list[object], message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)):
        read_predictions(write(tmp_path / "p.jsonl", ROWS[0]), write(tmp_path / "g.jsonl", *golds))


def test_a_file_without_a_usable_row_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no usable prediction; it is empty"):
        read_predictions(write(tmp_path / "p.jsonl"))
    with pytest.raises(BadInput, match=r"p.jsonl:1: there is no field 'gold'"):
        read_predictions(write(tmp_path / "p.jsonl", {"prediction": "4"}))
    with pytest.raises(BadInput, match="no such file"):
        read_predictions(tmp_path / "q.jsonl")


@pytest.mark.parametrize(
    ("kind", "outcomes"),
    [
        ("auto", ["right", "right", "ungradable"]),
        ("replies", ["right", "ungradable", "ungradable"]),
        ("answers", ["wrong", "right", "wrong"]),
    ],
)
def test_replies_and_bare_answers(tmp_path: Path, kind: str, outcomes: list[str]) -> None:
    texts = ["well,\nso the answer is 4", "4", "no\nidea"]
    rows, _ = read_predictions(write(tmp_path / "p.jsonl", *({"prediction": text, "gold": "4"} for text in texts)))
    assert [row.verdict.outcome for row in grade_predictions(rows, checker_of("exact"), kind)] == outcomes


def test_the_summary_counts_by_hand(tmp_path: Path) -> None:
    rows, bad = read_predictions(write(tmp_path / "p.jsonl", *ROWS, b"{", b"["))
    summary = summarise(
        grade_predictions(rows, checker_of("math?units=ignored")), bad, checker_of("math?units=ignored")
    )
    assert (summary.rows, summary.problems, summary.no_answer, summary.judged) == (5, 5, 2, 0)
    assert [share.value for share in (summary.right, summary.wrong, summary.ungradable)] == [0.4, 0.2, 0.4]
    assert summary.quarantined == {"not_json": 2}
    assert sum(summary.by_method.values()) == 5
    assert summary.switches is not None
    assert summary.switches.units == "ignored"
    assert summary.checker == "math?units=ignored"


def test_samples_of_one_problem_widen_the_interval(tmp_path: Path) -> None:
    """20 rows, half right: of 20 problems, or of 2 problems of which one is always right."""

    def share(ids: list[str]) -> float:
        made = [{"id": name, "prediction": "1", "gold": "1" if n < 10 else "2"} for n, name in enumerate(ids)]
        rows, bad = read_predictions(write(tmp_path / "p.jsonl", *made))
        right = summarise(grade_predictions(rows, checker_of("exact")), bad, checker_of("exact")).right
        assert (right.value, right.n) == (0.5, 20)
        return (right.high or 0) - (right.low or 0)

    assert share([str(n) for n in range(20)]) < 0.45 < 0.8 < share(["a"] * 10 + ["b"] * 10)


def test_the_judge_decides_open_rows_only(tmp_path: Path) -> None:
    made = [
        {"id": n, "prediction": text, "gold": "9 apples"} for n, text in enumerate(["9 apples", "8", "9 fruits", None])
    ]
    rows, bad = read_predictions(write(tmp_path / "p.jsonl", *made))
    judge = AnswerJudge(ScriptedChat(["Fruits are not apples. <Verdict>wrong</Verdict>"], name="solomon"))
    chosen = checker_of("numeric")
    graded = grade_predictions(rows, chosen, judge=judge)
    assert [(row.verdict.outcome, row.verdict.method) for row in graded] == [
        ("right", "numeric"), ("wrong", "numeric"), ("wrong", "judge"), ("ungradable", "extract"),
    ]  # fmt: skip
    summary = summarise(graded, bad, chosen, judge)
    assert (summary.judge, summary.judged, summary.switches) == ("solomon", 1, None)


class Faulty(ExactChecker):
    """Fails at one reply, and counts what it compares."""

    seen: ClassVar[list[str]] = []

    def extract(self, reply: str, problem: Problem) -> str | None:
        if reply == "poison":
            raise ValueError("cannot be read")
        return super().extract(reply, problem)

    def compare(self, answer: str, problem: Problem) -> Verdict:
        self.seen.append(answer)
        return super().compare(answer, problem)


def many(folder: Path, poison: int = -1) -> list[Prediction]:
    lines = [{"prediction": "poison" if n == poison else str(n), "gold": str(2 * (n // 2))} for n in range(2100)]
    return read_predictions(write(folder / "p.jsonl", *lines))[0]


def test_in_parts_rows_are_the_same_and_one_that_fails_costs_only_itself(tmp_path: Path) -> None:
    """Every second row is right; the row 1300 cannot be graded, as a worker of any engine sees it."""
    rows = many(tmp_path, poison=1300)
    graded = grade_predictions(rows, Faulty(), engine=Local(), parts=tmp_path / "parts")
    whole = grade_predictions(many(tmp_path), ExactChecker())
    assert [row.verdict.outcome for row in whole] == ["right", "wrong"] * 1050
    assert [row for row in graded if row.line != 1301] == [row for row in whole if row.line != 1301]
    assert graded[1300].verdict == Verdict(
        outcome="ungradable", reason="not made: ValueError: cannot be read", method="engine"
    )
    summary = summarise(graded, [], ExactChecker())
    assert (summary.no_answer, summary.ungradable.value) == (0, pytest.approx(1 / 2100))


def test_what_workers_graded_is_not_graded_again(tmp_path: Path) -> None:
    rows, parts = many(tmp_path), tmp_path / "parts"
    first = grade_predictions(rows, Faulty(), engine=Local(), parts=parts)
    files = sorted(parts.rglob("*.jsonl"))
    assert [len(path.read_text().splitlines()) for path in files] == [1024, 1024, 52]
    files[1].unlink()
    Faulty.seen.clear()
    assert grade_predictions(rows, Faulty(), parts=parts) == first
    assert Faulty.seen == [str(n) for n in range(1024, 2048)]
    assert len(grade_predictions(rows, Faulty(), "answers", parts=parts)) == 2100
    assert len(Faulty.seen) == 1024 + 2100, "graded otherwise, those are other verdicts"


def test_the_command_leaves_no_parts(capsys, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", *ROWS)
    parts_of(tmp_path / "p.graded.jsonl").mkdir()
    code, _, err = run(capsys, "grade", str(path), "--checker", "exact")
    assert code == 0, err
    assert {file.name for file in tmp_path.iterdir()} == {
        "p.jsonl", "p.graded.jsonl", "p.graded.quarantine.jsonl", "p.graded.summary.json"
    }  # fmt: skip


def test_the_command_writes_verdicts_summary_and_quarantine(capsys, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", *ROWS, b"{")
    code, out, err = run(capsys, "grade", str(path), "--switch", "units=ignored", "--switch", "percent=value")
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "p.graded.jsonl").read_text().splitlines()]
    assert [row["verdict"]["outcome"] for row in rows] == ["right", "wrong", "ungradable", "right", "ungradable"]
    summary = json.loads((tmp_path / "p.graded.summary.json").read_text())
    assert (summary["switches"]["units"], summary["switches"]["percent"]) == ("ignored", "value")
    assert "not_json" in (tmp_path / "p.graded.quarantine.jsonl").read_text()
    assert re.search(r"right\W+2\W+40\.0 \[", out)
    assert "quarantined: 1 not_json" in out


def test_a_judge_over_http(capsys, tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.jsonl", {"prediction": "9 fruits", "gold": "9 apples"}, {"prediction": "8", "gold": "9 apples"}
    )
    with serving(in_order(completion("They are.\n<Verdict>right</Verdict>"))) as server:
        code, out, err = run(
            capsys, "grade", str(path), "--checker", "numeric", "--judge", "wise", "--judge-url", server.base_url
        )
    assert code == 0, err
    rows = [json.loads(line) for line in (tmp_path / "p.graded.jsonl").read_text().splitlines()]
    assert [(row["verdict"]["outcome"], row["verdict"]["method"]) for row in rows] == [
        ("right", "judge"),
        ("wrong", "numeric"),
    ]
    assert len(server.asked) == 1
    assert "9 fruits" in server.asked[0].prompt
    assert "decided by the judge wise" in out


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        (["--switch", "percnt=value"], "no switch 'percnt'", "'percent'"),
        (["--switch", "percent"], "has no value", "key=value"),
        (["--checker", "mth"], "no checker 'mth'", "'math'"),
        (["--checker", "exact", "--switch", "percent=value"], "no option 'percent'", ""),
        (["--gold", "none.jsonl"], "none.jsonl: there is no such file", "Check"),
        (["--judge-prompt", "judge_answr", "--judge", "m"], "no prompt", "judge_answer"),
        (["--output", "p.jsonl"], "p.jsonl is an input", "--output"),
        (["--output", "p.jsonl/x.jsonl"], "cannot be written", "--output"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    capsys, tmp_path: Path, monkeypatch, arguments: list[str], what: str, remedy: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "p.jsonl", *ROWS)
    code, _, err = run(capsys, "grade", "p.jsonl", *arguments)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    assert what in err
    assert remedy in err

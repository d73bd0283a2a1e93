"""A file of questions: order, bad rows, resuming, refusing other settings; the store measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redink.failures import BadInput, Failure, ReplyFailure
from redink.models.chat import ChatRequest, Reply
from redink.pipelines.solving import SolvedRow, beside, read_questions, solve_file
from redink.pipelines.thought_store import measure_store, problems_for, store_table
from redink.rows import read_rows, write_rows
from redink.solving.backends import ChatBackend
from redink.solving.presets import redink_preset
from redink.solving.solver import Generation, Solver
from redink.solving.store import StoredThought, ThoughtStore
from redink.types import Problem, Quarantined


class Adding:
    """Adds the two numbers of 'a + b?'; refuses 'bad'; stops for good after `lives` calls; knows 3 only by a thought."""

    name = "adding"

    def __init__(self, lives: int = 10**9) -> None:
        self.lives, self.calls = lives, 0

    async def complete(self, request: ChatRequest, sample: int = 0) -> Reply:
        self.calls += 1
        if self.calls > self.lives:
            raise Failure("the credit is used up.", "Pay.")
        text = request.messages[-1].content
        if "bad" in text:
            raise ReplyFailure("refused", "no", "raw")
        a, b = (int(part) for part in text.split("<Problem>\n")[1].split("?")[0].split("+"))
        known = a != 3 or "<Thoughts>\nAdd." in text
        return Reply(text=f"<Step1>{a} + {b}</Step1><Answer>{a + b if known else 0}</Answer>")


def solver(lives: int = 10**9, **options: object) -> Solver:
    return Solver(ChatBackend(Adding(lives)), redink_preset(chat=True), 0, **options)  # type: ignore[arg-type]


LINES = [
    '{"id": "a", "question": "1 + 2?"}',
    "not json",
    "",
    '{"question": "2 + 2?", "more": [1]}',
    "[1]",
    '{"id": 7, "question": "bad"}',
    '{"id": "d", "problem": "3 + 3?"}',
    '{"question": "  "}',
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(LINES))
    return path


def test_order_is_kept_and_bad_rows_are_set_aside_with_their_raw_text(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.jsonl"
    done = solve_file(solver(), source, out)
    rows = read_rows(out, SolvedRow)
    assert [(row.id, row.line, row.final_answer) for row in rows] == [("a", 1, "3"), ("4", 4, "4"), ("d", 7, "0")]
    aside = read_rows(beside(out, "quarantine.jsonl"), Quarantined)
    assert {(row.problem_id, row.reason, row.raw) for row in aside} == {
        ("in.jsonl:2", "not_json", "not json"), ("in.jsonl:5", "not_an_object", "[1]"),
        ("in.jsonl:8", "no_question", '{"question": "  "}'), ("7", "refused", "raw"),
    }  # fmt: skip
    assert (done.rows, done.solved, done.quarantined, done.kept) == (7, 3, 4, 0)
    assert not beside(out, "unfinished.jsonl").exists()


def test_a_second_run_solves_only_what_is_new(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    solve_file(solver(), source, out)
    source.write_text(source.read_text() + '\n{"question": "4 + 5?"}')
    again = solver()
    done = solve_file(again, source, out)
    assert (done.kept, done.solved) == (3, 4)
    assert again.backend.model.calls == 2, "the new question, and the refused one once more"  # type: ignore[attr-defined]


def test_what_was_solved_before_a_stop_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redink.solving.solver.AT_ONCE", 2)
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps({"question": f"{n} + 1?"}) for n in range(4, 9)))
    with pytest.raises(Failure, match="credit"):
        solve_file(solver(lives=3), source, out)
    assert not out.exists()
    again = solver()
    assert solve_file(again, source, out).kept == 2
    assert again.backend.model.calls == 3  # type: ignore[attr-defined]
    assert [row.final_answer for row in read_rows(out, SolvedRow)] == ["5", "6", "7", "8", "9"]


def test_other_settings_are_refused_by_name_and_begun_anew_on_demand(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    solve_file(solver(), source, out)
    other = solver(generation=Generation(seed=1))
    with pytest.raises(Failure, match=r"other settings \(generation\)\. Begin anew with --fresh"):
        solve_file(other, source, out)
    assert solve_file(other, source, out, fresh=True).kept == 0


def test_a_file_of_somebody_else_is_never_written_over(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    with pytest.raises(Failure, match="not made by redink solve"):
        solve_file(solver(), source, out)
    assert out.read_text() == "mine"


def test_a_missing_file_is_one_failure(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_questions(tmp_path / "none.jsonl")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=30) | st.just(b'{"question": "1 + 1?"}'), max_size=8))
def test_every_line_is_a_question_or_set_aside(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    found, aside = read_questions(path)
    assert len(found) + len(aside) == sum(bool(line.strip()) for line in path.read_bytes().split(b"\n"))


# ---------------------------------------------------------------- the store, on and off


def test_the_store_is_measured_on_the_same_problems_without_and_with_it(tmp_path: Path) -> None:
    # Adding knows 3 + n only by the thought: 2 of 4 right without, 4 of 4 with; by McNemar's exact test p = 2 · ½² = ½
    problems = [Problem(id=f"p{n}", question=f"{a} + {n}?", answer=str(a + n)) for n, a in enumerate((3, 4, 3, 5))]
    write_rows(tmp_path / "problems.evaluation.jsonl", problems)
    stored = ThoughtStore([StoredThought(problem_id="s", question="7 + 7?", thought="Add.")])
    made = Solver(ChatBackend(Adding()), redink_preset(chat=True), 0, thoughts=1)
    found = measure_store(made, stored, problems_for(str(tmp_path), None, None, 0), "mine")
    assert (found.off.accuracy_t1.value, found.on.accuracy_t1.value) == (0.5, 1.0)
    assert (found.delta_t1.value, found.p_t1) == (0.5, 0.5)
    assert found.on.accuracy_t2 == found.on.accuracy_t1
    assert [row[0] for row in store_table(found).rows] == ["off", "on (1)", "on − off"]


def test_a_folder_without_an_evaluation_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"problems\.evaluation\.jsonl"):
        problems_for(str(tmp_path), None, None, 0)

"""The commands that ask a judge, as a user types them: over HTTP, more rows than a chunk holds, and bought once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_folders import Written, evaluation_folder, training_folder

from redink.cli import main
from redink.models.fake_server import Asked, FakeServer, Said, serving
from redink.rows import write_rows
from redink.stages.chunks import CHUNK
from redink.teaching.served import Classroom
from redink.types import Attempt, LabelledSolution, LocatedError, Problem, Review, Step, Verdict

STEPS = (Step(number=1, text="2 + 2 = 4"), Step(number=2, text="4 + 1 = 6"))
MANY = 300


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[str, str]:
    """Standard output and error of a command that succeeds."""
    with pytest.raises(SystemExit) as stopped:
        main([str(each) for each in arguments])
    caught = capsys.readouterr()
    assert stopped.value.code in (0, None), caught.err
    return caught.out, caught.err


def cells(markdown: str, name: str) -> dict[str, str]:
    """The row of a markdown table that begins with `name`, by heading."""
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in markdown.splitlines()
        if line.startswith("|")
    ]
    return dict(zip(rows[0], next(row for row in rows if row[0] == name), strict=True))


def number(asked: Asked) -> int:
    """Which of the rows it is about: the number in brackets in its question."""
    found = re.search(r"\((\d+)\)\?", asked.prompt)
    assert found, asked.prompt
    return int(found[1])


def question(place: int) -> str:
    return f"What is 2 + 2 + 1 ({place})?"


def labelled(folder: Path) -> str:
    """300 solutions; every second one has its error in step 2, the others are said to have none."""
    rows = [
        LabelledSolution(id=f"s{place}", question=question(place), steps=STEPS, first_wrong=None if place % 2 else 2)
        for place in range(MANY)
    ]
    write_rows(folder / "labelled.jsonl", rows)
    return f"jsonl:{folder / 'labelled.jsonl'}"


def marks(asked: Asked) -> Said:
    """Step 2 in every fourth solution; nothing readable in every tenth; else none."""
    place = number(asked)
    return Said("I cannot tell." if place % 10 == 9 else f"<Verdict>{'none' if place % 4 else 2}</Verdict>")


@pytest.fixture
def judge() -> Iterator[FakeServer]:
    with serving(marks) as server:
        yield server


def test_a_judge_marks_more_solutions_than_a_chunk(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, judge: FakeServer
) -> None:
    """Of 150 with an error every second is hit: 50 %; of 150 without, 30 are unreadable: 80 %. F1 = 2·½·⅘ / 1.3."""
    assert MANY > CHUNK
    asked = [
        "evaluate-steps", "--set", labelled(tmp_path), "--judge", "wise", "--judge-url", judge.base_url,
        "--run-dir", tmp_path, "--format", "markdown",
    ]  # fmt: skip
    out, err = run(capsys, *asked)
    found = cells(out, "wise")
    assert found["F1"].startswith(f"{100 * 0.8 / 1.3:.1f} [")
    assert found["exact, with error"].startswith("50.0 [") and found["exact, without"].startswith("80.0 [")
    assert found["unreadable"].startswith("10.0 [")
    assert len(judge.books) == MANY
    again, _ = run(capsys, *asked)
    assert again == out
    assert len(judge.books) == MANY, "the second run bought something"
    books = json.loads((tmp_path / "evaluate-steps" / "ledger.json").read_text())["totals"]
    assert [(row["stage"], row["model"], row["calls"], row["replayed"]) for row in books] == [
        ("evaluate-steps", "wise", MANY, MANY)
    ]
    assert "evaluate-steps, wise: 300 replies bought in all, 0 failed tries, 0 replayed now" in err


def test_a_teacher_marks_more_solutions_than_a_chunk(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """4 + 1 = 6 is false arithmetic, so the teacher marks step 2 in all: right in the 150 that are labelled so."""
    golds = [
        Problem(id=f"g{place}", question=question(place), answer="5", solution="2 + 2 = 4\n4 + 1 = 5\n#### 5")
        for place in range(MANY)
    ]
    write_rows(tmp_path / "golds.jsonl", golds)
    with serving(Classroom(golds)) as server:
        recipe = tmp_path / "taught.toml"
        recipe.write_text(
            'name = "taught"\n[problems]\nsources = ["stories"]\nthoughts = 1\nerrors = 1\nevaluation = 1\n[inspector]\nkind = "none"\n'
            f'[teacher]\nkind = "openai"\nmodel = "master"\nbase_url = "{server.base_url}"\n'
        )
        asked = [
            "evaluate-steps", "--set", labelled(tmp_path), "--teacher", recipe, "--golds", tmp_path / "golds.jsonl",
            "--run-dir", tmp_path, "--format", "json",
        ]  # fmt: skip
        out, _ = run(capsys, *asked)
        figures = json.loads(out)["figures"][0]
        assert (figures["reviewer"], figures["exact"]["n"]) == ("master", MANY)
        assert (figures["exact_wrong"]["value"], figures["exact_right"]["value"]) == (1, 0)
        assert len(server.books) == MANY
        assert run(capsys, *asked)[0] == out
        assert len(server.books) == MANY, "the second run bought something"


def test_a_judge_marks_the_chains_of_several_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each file has an event loop of its own. Coherence is 2 and 4 in turn, 3 in the mean.

    One judgment of the first file, a 4, cannot be read: (75·2 + 74·4)/149 = 2.99, and 1/150 unscored.
    """

    def marked(asked: Asked) -> Said:
        place = number(asked)
        return Said("?" if place == 1 else f"<Coherence>{2 + place % 2 * 2}</Coherence><Consistency>5</Consistency>")

    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for start, path in zip((0, 150), paths, strict=True):
        rows = [{"question": question(place), "chain": "two words"} for place in range(start, start + 150)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serving(marked) as server:
        asked = [
            "evaluate-chains", *paths, "--judge", "wise", "--judge-url", server.base_url, "--run-dir", tmp_path,
            "--format", "markdown",
        ]  # fmt: skip
        out, _ = run(capsys, *asked)
        for path, coherence, unscored in zip(paths, ("2.99 [", "3.00 ["), ("0.7 [", "0.0 ["), strict=True):
            found = cells(out, str(path))
            assert (found["n"], found["words"]) == ("150", "2.00 [2.00, 2.00]")
            assert found["coherence"].startswith(coherence) and found["consistency"] == "5.00 [5.00, 5.00]"
            assert found["unscored"].startswith(unscored)
        assert len(server.books) == 2 * 150
        assert run(capsys, *asked)[0] == out
        assert len(server.books) == 2 * 150, "the second run bought something"


WRONG, RIGHT = Verdict(outcome="wrong"), Verdict(outcome="right")
PROBLEMS = [Problem(id=f"p{place}", question=question(place), answer="5") for place in range(7)]
SAID = {1: "2", 2: "2", 3: "none", 4: "either 1 or 2", 5: "1", 6: "2"}  # the judge on the solutions; p0 is right
MENDED = {1: "right", 5: "wrong", 6: "unsure"}  # and on the corrections of its own step
REVIEWED = {1: 2, 2: 1, 3: 2, 4: 2, 5: 1, 6: 2}  # the step that model a marks; b marks none


def says(asked: Asked) -> Said:
    place = number(asked)
    return Said(f"<Verdict>{MENDED[place] if 'how a wrong step was mended' in asked.prompt else SAID[place]}</Verdict>")


def written(marking: dict[int, int]) -> Written:
    """Solutions of which only the first is right, and reviews that mark these steps."""
    attempts = [
        Attempt(problem_id=row.id, text="", steps=STEPS, answer="6", verdict=WRONG if place else RIGHT)
        for place, row in enumerate(PROBLEMS)
    ]
    reviews = [
        Review(
            problem_id=row.id, text="", verdict=WRONG,
            error=LocatedError(step=marking[place], cause="c", correction=f"mended {place}") if place in marking else None,
        )
        for place, row in enumerate(PROBLEMS)
    ]  # fmt: skip
    return attempts, reviews


MODELS = {"base": written(REVIEWED), "hsft": written({})}


@pytest.mark.parametrize("kind", ["evaluate", "run"])
def test_table_6_by_a_judge_from_a_run_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str) -> None:
    """Of 6 wrong solutions the judge marks a step in 4 (p1, p2, p5, p6), none in p3, and cannot be read on p4.

    The first model marks the judge's step in p1, p5 and p6: 3/4; mended are p1, not p5, and of p6 the judge is unsure:
    1/3, and 1/2 of those located. The second marks nothing: 0/4, and its equal solutions cost nothing more.
    6 judgments of solutions and 3 of corrections are bought.
    """
    folder = tmp_path / "made"
    if kind == "evaluate":
        evaluation_folder(folder, MODELS, PROBLEMS, "b:x")
    else:
        training_folder(folder, MODELS, PROBLEMS)
    with serving(says) as server:
        asked = [
            "evaluate-corrections", folder, "--judge", "wise", "--judge-url", server.base_url, "--run-dir", tmp_path,
        ]  # fmt: skip
        out, err = run(capsys, *asked, "--format", "markdown")
        assert "by the judge wise" in out and "evaluate-corrections, wise: 9 replies bought" in err
        base, hsft = cells(out, "base"), cells(out, "hsft")
        assert (base["wrong"], base["n"], base["unlocated"], base["unjudged"], base["unsure"]) == (
            "6",
            "4",
            "1",
            "1",
            "1",
        )
        assert base["locate"].startswith("75.0 [") and base["correct"].startswith("33.3 [")
        assert base["correct \\| located"].startswith("50.0 [")
        assert hsft["locate"].startswith("0.0 [") and hsft["n"] == "4"
        assert len(server.books) == 9
        assert run(capsys, *asked, "--format", "markdown")[0] == out
        assert len(server.books) == 9, "the second run bought something"
        out, _ = run(capsys, *asked, "--format", "json", "--model", "base", "--limit", "2")
    results = json.loads(out)
    (row,) = results["models"]
    assert (results["judge"], results["limit"], row["model"], row["wrong"]) == ("wise", 2, "base", 6)
    assert row["step_errors"]["locate"]["n"] == row["step_errors"]["unjudged"] == 1, "p1 and p4 of p1 to p6"
    kept = [
        json.loads(line) for path in (tmp_path / "evaluate-corrections").rglob("hsft.jsonl") for line in path.open()
    ]
    assert [(each["problem_id"], each["said"]) for each in kept][3] == ("p4", "<Verdict>either 1 or 2</Verdict>")


def test_a_model_that_the_run_has_not_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = training_folder(tmp_path / "made", MODELS, PROBLEMS)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate-corrections", str(folder), "--judge", "wise", "--model", "hsf", "--run-dir", str(tmp_path)])
    assert stopped.value.code == 2
    assert "has no figures of 'hsf'. It has base, hsft." in capsys.readouterr().err
    assert not (tmp_path / "evaluate-corrections").exists()

"""What the commands around step errors, teachers and chains read, and how they choose."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_folder

from redink.failures import BadInput, Failure
from redink.pipelines.measuring import Judging, StepQuestion, chains, read_chains, spread, steps
from redink.pipelines.step_errors import StepResults
from redink.rows import write_rows
from redink.types import ChainRow, LabelledSolution, Problem, Step, Thought, ThoughtRow

STEPS = (Step(number=1, text="2 + 2 = 4"), Step(number=2, text="4 + 1 = 6"))


def labelled(folder: Path, count: int = 6) -> str:
    """The first half has an error in step 2."""
    path = folder / "labelled.jsonl"
    rows = [
        LabelledSolution(
            id=f"s{number}", question=f"What is 2 + 2 + 1 ({number})?", steps=STEPS, answer="5", answer_right=False,
            first_wrong=2 if number < count // 2 else None,
        )
        for number in range(count)
    ]  # fmt: skip
    write_rows(path, rows)
    return f"jsonl:{path}"


@pytest.mark.parametrize(
    ("rows", "limit", "chosen"),
    [(10, None, list(range(10))), (10, 4, [0, 2, 5, 7]), (3, 9, [0, 1, 2]), (5, 1, [0]), (0, 3, []), (0, None, [])],
)
def test_a_limit_takes_rows_spread_evenly(rows: int, limit: int | None, chosen: list[int]) -> None:
    """Place i of k holds row ⌊i·n/k⌋: of 10 in 4 these are 0, 2.5, 5 and 7.5."""
    assert spread(range(rows), limit) == chosen


def test_dummies_alone_have_the_figures_that_arithmetic_gives(tmp_path: Path) -> None:
    """Of 4 spread rows (0, 1, 3, 4) two have their error in step 2: always right hits the 2 others, always first none."""
    results, check = steps(StepQuestion(labelled(tmp_path)), tmp_path / "kept", limit=4)
    assert (results.solutions, results.with_error, check.rows) == (4, 2, 6)
    by_name = {row.reviewer: row for row in results.figures}
    assert by_name["always_right"].exact.value == 0.5
    assert by_name["always_first"].exact.value == 0


@pytest.mark.slow
def test_a_student_is_asked_once_whoever_joins_it(tmp_path: Path) -> None:
    one, other = (str(tiny_folder(tmp_path / name, seed=seed)) for seed, name in enumerate(("one", "other")))

    def asked(*students: str) -> tuple[StepResults, dict[Path, int]]:
        question = StepQuestion(labelled(tmp_path), students, max_new_tokens=4)
        results, _ = steps(question, tmp_path / "kept")
        marked = [path for path in (tmp_path / "kept").rglob("*.jsonl") if "always" not in path.parent.name]
        return results, {path: path.stat().st_mtime_ns for path in marked}

    first, kept = asked(one)
    assert len(kept) == 2  # its markings, and its answers where it is told the place
    assert asked(one) == (first, kept)
    both, joined = asked(one, other)
    assert both.figures[0] == first.figures[0]
    assert len(joined) == 4 and kept.items() <= joined.items()


def test_a_teacher_without_gold_solutions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="--golds gsm8k"):
        steps(StepQuestion(labelled(tmp_path), teacher="reference"), tmp_path / "kept")


def test_a_teacher_sees_the_golds_of_a_set(tmp_path: Path) -> None:
    """2 + 2 = 4 is right; 4 + 1 = 6 is false arithmetic: step 2, in all six, so right in the three with an error."""
    problems = tmp_path / "golds.jsonl"
    golds = [
        Problem(id=f"g{n}", question=f"What is 2 + 2 + 1 ({n})?", answer="5", solution="2 + 2 = 4\n4 + 1 = 5\n#### 5")
        for n in range(6)
    ]
    write_rows(problems, golds)
    asked = StepQuestion(labelled(tmp_path), teacher="reference", golds=[str(problems)])
    results, _ = steps(asked, tmp_path / "kept")
    figures = {row.reviewer: row for row in results.figures}["reference"]
    assert figures.exact_wrong.value == 1
    assert figures.exact_right.value == 0


def test_chains_are_read_from_files_and_run_directories(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "q", "chain": "c"}\n{"question": "p", "solution": "s", "id": 3}\n')
    assert [(row.question, row.text) for row in read_chains(path)] == [("q", "c"), ("p", "s")]
    write_rows(tmp_path / "problems.thoughts.jsonl", [Problem(id="1", question="q", answer="4")])
    thought = Thought(steps=STEPS[:1], answer="4")
    write_rows(tmp_path / "thoughts.jsonl", [ThoughtRow(problem_id="1", thought=thought)])
    (chain,) = read_chains(tmp_path)
    assert chain.question == "q" and "<Step1>2 + 2 = 4</Step1>" in chain.text


def test_of_an_orion_run_what_it_learns_is_read_and_the_teachers_chains_by_name(tmp_path: Path) -> None:
    write_rows(tmp_path / "problems.thoughts.jsonl", [Problem(id="1", question="q", answer="4")])
    for name, text in (("learned", "mine"), ("long_chains", "theirs")):
        write_rows(tmp_path / f"{name}.jsonl", [ChainRow(problem_id="1", text=text)])
    assert [(row.question, row.text) for row in read_chains(tmp_path)] == [("q", "mine")]
    assert [(row.question, row.text) for row in read_chains(tmp_path / "long_chains.jsonl")] == [("q", "theirs")]


def test_a_folder_without_chains_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"thoughts\.jsonl"):
        read_chains(tmp_path)


@pytest.mark.parametrize(
    "line", ['{"question": "q"}', '{"chain": "c"}', '{"question": 1, "chain": "c"}', '{"question": "q", "chain": 2}']
)
def test_a_row_that_is_no_chain_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "q", "chain": "c"}\n' + line + "\n")
    with pytest.raises(BadInput, match=r"mine\.jsonl:2: is no chain"):
        read_chains(path)


def test_without_judge_and_student_chains_have_their_length(tmp_path: Path) -> None:
    """Chains of 2 and 4 words: 3 in the mean."""
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "q", "chain": "two words"}\n{"question": "q", "chain": "one two three four"}\n')
    report = chains([path], tmp_path / "kept", judging=Judging())
    assert report.quality[0].words.mean.value == 3
    assert report.perplexity == {}
    assert not (tmp_path / "kept").exists(), "nothing was bought"

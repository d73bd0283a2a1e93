"""Comparing runs: which models are paired, on which problems, and what is refused. The arithmetic is tested with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from run_folders import evaluation_folder, training_folder

from redink.failures import BadInput, Failure
from redink.pipelines.comparison import compare_runs, comparison_tables, p_value
from redink.types import Attempt, Problem, Review, Verdict

PROBLEMS = [
    Problem(id=f"p{number}", question=f"How much is {number} and 1?", answer=str(number + 1)) for number in range(8)
]
# p0 … p7 at t1, right = 1:            A 1 1 1 1 0 0 0 0   B 1 1 1 0 1 1 1 0   gained 3, lost 1
A, B = "11110000", "11101110"


def attempts(problems: Sequence[Problem], rights: str, sample: int = 0) -> list[Attempt]:
    return [
        Attempt(problem_id=problem.id, sample=sample, text="", answer="1", verdict=verdict(right))
        for problem, right in zip(problems, rights, strict=True)
    ]


def reviews(problems: Sequence[Problem], rights: str) -> list[Review]:
    return [
        Review(problem_id=problem.id, text="", verdict=verdict(right))
        for problem, right in zip(problems, rights, strict=True)
    ]


def verdict(right: str) -> Verdict:
    return Verdict(outcome="right" if right == "1" else "wrong")


def evaluated(
    folder: Path, models: dict[str, str], problems: Sequence[Problem] = PROBLEMS, benchmark: str = "b:x",
    repeats: dict[str, list[str]] | None = None,
) -> Path:  # fmt: skip
    """A run directory as `redink evaluate` leaves it; t2 is everything right."""
    written = {
        model: (attempts(problems, rights), reviews(problems, "1" * len(problems))) for model, rights in models.items()
    }
    drawn = {
        model: [attempts(problems, rights, number) for number, rights in enumerate(each)]
        for model, each in (repeats or {}).items()
    }
    return evaluation_folder(folder, written, problems, benchmark, drawn)


def trained(folder: Path, models: dict[str, str]) -> Path:
    """A run directory as `redink run` leaves it, as far as it is read."""
    written = {model: (attempts(PROBLEMS, rights), reviews(PROBLEMS, rights)) for model, rights in models.items()}
    return training_folder(folder, written, PROBLEMS)


def test_two_models_of_one_run_by_hand(tmp_path: Path) -> None:
    """A is right 4 of 8, B 6 of 8; 3 gained, 1 lost: Δ = 2/8; McNemar exact: 2·(C(4,0) + C(4,1))/2⁴ = 10/16."""
    results = compare_runs(evaluated(tmp_path / "run", {"a": A, "b": B}))
    (pair,) = results.compared
    t1, t2 = pair.comparisons
    assert (pair.first, pair.second, pair.shared) == ("a", "b", 8)
    assert (t1.measure, t1.gained, t1.lost, t1.n) == ("t1", 3, 1, 8)
    assert t1.difference.value == pytest.approx(2 / 8)
    assert t1.p_value == pytest.approx(10 / 16)
    assert (t2.measure, t2.gained, t2.lost, t2.p_value) == ("t2", 0, 0, 1)
    assert results.remarks == ()


def test_the_models_of_a_training_run_are_compared_each_with_the_next(tmp_path: Path) -> None:
    run = trained(tmp_path / "run", {"base": A, "hsft": B, "cross_dpo": A})
    found = [(pair.first, pair.second) for pair in compare_runs(run).compared]
    assert found == [("base", "hsft"), ("hsft", "cross_dpo")]
    chosen = compare_runs(run, models=["cross_dpo", "base"]).compared
    assert [(pair.first, pair.second) for pair in chosen] == [("cross_dpo", "base")]
    assert chosen[0].comparisons[0].gained == 0


def test_runs_of_two_kinds_compare_and_bear_their_names(tmp_path: Path) -> None:
    one, other = trained(tmp_path / "one", {"base": A, "hsft": A}), evaluated(tmp_path / "other", {"x": B})
    (pair,) = compare_runs(one, other, ["hsft", "x"]).compared
    assert pair.first == f"{one}: hsft" and pair.second == f"{other}: x"
    assert (pair.comparisons[0].gained, pair.comparisons[0].lost) == (3, 1)


def test_without_names_the_models_that_both_have_are_paired(tmp_path: Path) -> None:
    one, other = evaluated(tmp_path / "1", {"a": A, "b": B}), evaluated(tmp_path / "2", {"b": A, "c": A})
    assert [pair.second for pair in compare_runs(one, other).compared] == [f"{other}: b"]


def test_repeats_are_compared_too_and_may_differ_in_number(tmp_path: Path) -> None:
    """Means per problem: A's two repeats 1 and 0.5 at p0, 0 elsewhere; B's one repeat 1 at p0 and p1: gained 2."""
    repeats = {"a": ["10000000", "00000000"], "b": ["11000000"]}
    (pair,) = compare_runs(evaluated(tmp_path / "run", {"a": A, "b": B}, repeats=repeats)).compared
    repeated = pair.comparisons[2]
    assert repeated.measure == "repeats"
    assert (repeated.gained, repeated.lost) == (2, 0)
    assert repeated.difference.value == pytest.approx((0.5 + 1) / 8)


def test_only_shared_problems_count_and_it_is_said(tmp_path: Path) -> None:
    one = evaluated(tmp_path / "1", {"a": A})
    other = evaluated(tmp_path / "2", {"a": B[:5]}, PROBLEMS[:5])
    results = compare_runs(one, other)
    assert results.compared[0].comparisons[0].n == 5
    assert results.remarks == (f"b:x: 5 problems are shared; {one}: a has 8, {other}: a has 5.",)


def test_an_id_that_stands_for_two_problems_is_refused(tmp_path: Path) -> None:
    others = [problem.model_copy(update={"question": problem.question + " And 2?"}) for problem in PROBLEMS]
    one, other = evaluated(tmp_path / "1", {"a": A}), evaluated(tmp_path / "2", {"a": B}, others)
    with pytest.raises(Failure, match=r"'p0' is another problem in each \(8 ids are shared\)"):
        compare_runs(one, other)


def test_no_shared_problem_is_refused(tmp_path: Path) -> None:
    others = [problem.model_copy(update={"id": f"other {problem.id}"}) for problem in PROBLEMS]
    one, other = evaluated(tmp_path / "1", {"a": A}), evaluated(tmp_path / "2", {"a": B}, others)
    with pytest.raises(Failure, match="share no problem"):
        compare_runs(one, other)


def test_what_cannot_be_paired_is_said(tmp_path: Path) -> None:
    one, other = evaluated(tmp_path / "1", {"a": A, "b": B}), evaluated(tmp_path / "2", {"c": A, "d": B})
    third = evaluated(tmp_path / "3", {"a": A}, benchmark="else")
    for arguments, said in [
        ((one, other), "no model of the same name"),
        ((one, None, ["a"]), "one model"),
        ((one, None, ["a", "z"]), "no figures of 'z'. It has a, b."),
        ((one, other, ["a", "a"]), "no figures of 'a'. It has c, d."),
        ((third,), "only a"),
        ((one, None, ["a", "b", "a"]), "at most two"),
    ]:
        with pytest.raises(Failure) as caught:
            compare_runs(*arguments)  # type: ignore[arg-type]
        assert said in str(caught.value)
    with pytest.raises(BadInput, match="no run directory"):
        compare_runs(tmp_path / "nowhere")


def test_a_run_under_way_is_no_run_to_compare(tmp_path: Path) -> None:
    run = evaluated(tmp_path / "run", {"a": A})
    for path in (run / "reviews").rglob("*.jsonl"):
        path.unlink()
    with pytest.raises(Failure, match="has no figures yet"):
        compare_runs(run)


def test_the_table_says_what_was_gained_and_whether_it_is_chance(tmp_path: Path) -> None:
    (table,) = comparison_tables(compare_runs(evaluated(tmp_path / "run", {"a": A, "b": B}), seed=7))
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.columns == ("figure", "t1", "t2")
    assert rows["gained, lost"] == ("3, 1", "0, 0")
    assert rows["p"] == ("0.625", "1.000")
    assert rows["second − first"][0].startswith("+25.0 [")
    assert rows["effect"] == ("g = +0.25, odds 3.00", "–")
    assert "Seed 7." in table.note and "McNemar" in table.note


@pytest.mark.parametrize(("p", "written"), [(1.0, "1.000"), (0.0499, "0.050"), (0.001, "0.001"), (0.0009, "< 0.001")])
def test_p_values_are_never_zero(p: float, written: str) -> None:
    assert p_value(p) == written

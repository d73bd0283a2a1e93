"""What the workshop puts together by itself."""

from __future__ import annotations

from random import Random

import pytest
from stand_ins import ATTEMPT

from redink.pipelines.workshop import breaks, gold_attempt, with_gold
from redink.types import LocatedError, Problem, Review, Verdict

SOLVED = [Problem(id=f"p{n}", question="?", answer="5", solution="2 + 3 = <<2+3=5>>5") for n in range(8)]
OWN = [ATTEMPT.model_copy(update={"problem_id": problem.id}) for problem in SOLVED]


@pytest.mark.parametrize(("share", "gold"), [(0, []), (0.25, [3, 7]), (0.5, [1, 3, 5, 7]), (1, [*range(8)])])
def test_a_share_of_the_replayed_solutions_is_gold_evenly_spread(share, gold):
    mixed = with_gold(SOLVED, OWN, share, 0, Random(0))
    assert [row.problem_id for row in mixed] == [row.problem_id for row in OWN]
    assert [
        place for place, row in enumerate(mixed) if row.text == "<Step1>2 + 3 = 5</Step1>\n<Answer>5</Answer>"
    ] == gold


def test_without_a_gold_solution_the_students_own_stays():
    (kept,) = with_gold([Problem(id="p0", question="?", answer="5")], OWN[:1], 1, 1, Random(0))
    assert kept is OWN[0]


def test_a_gold_solution_reads_as_a_right_attempt():
    made = gold_attempt(SOLVED[0])
    assert (made.verdict.right, made.answer, [step.text for step in made.steps]) == (True, "5", ["2 + 3 = 5"])


def test_a_gold_solution_with_a_wrong_step_is_a_wrong_attempt():
    long = SOLVED[0].model_copy(update={"solution": "2 + 9 = <<2+9=11>>11\n11 - 6 = <<11-6=5>>5"})
    for made in with_gold([long] * 20, OWN[:1] * 20, 1, 1, Random(1)):
        assert (made.verdict.outcome, len(made.steps)) == ("wrong", 2)
        assert made.text.endswith(f"<Answer>{made.answer}</Answer>") and made.text != gold_attempt(long).text
        assert made.steps[-1].text.endswith(f" = {made.answer}")


MARKED = LocatedError(step=1, cause="2 + 3 = 6, not 5", correction="2 + 3 = 6")


@pytest.mark.parametrize(
    ("before", "after", "error", "broken"),
    [
        ("right", "right", None, False),
        ("right", "wrong", None, True),
        ("right", "ungradable", None, True),
        ("right", "right", MARKED, True),
        ("wrong", "wrong", None, False),
        ("wrong", "wrong", MARKED, False),
        ("wrong", "right", MARKED, False),
    ],
)
def test_a_review_breaks_what_was_right_only(before, after, error, broken):
    written = ATTEMPT.model_copy(update={"verdict": Verdict(outcome=before)})
    review = Review(problem_id="p0", text="…", error=error, answer="5", verdict=Verdict(outcome=after))
    assert breaks(review, written) is broken

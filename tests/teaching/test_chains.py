"""Chains by rule: every line of a long chain is true, and a rewriting keeps the way and names the error."""

from __future__ import annotations

import asyncio
import re

import pytest

from redink.answers import grade
from redink.failures import Unteachable
from redink.markup import parse_steps
from redink.problems import load_problems
from redink.teaching.chains import GIVEN_UP, VERIFICATION, backwards, given_up, long_chain, rewritten, warning
from redink.teaching.equations import find_equations
from redink.teaching.reference import ReferenceTeacher, first_wrong_step
from redink.types import Attempt, LocatedError, Problem, Step, Verdict

STEPS = (
    Step(number=1, text="47 + 38", key="47 + 30 = 77, 77 + 8 = 85"),
    Step(number=2, text="85 - 20", key="85 - 20 = 65"),
)
EQUATIONS = find_equations("47 + 38 = 85, 85 - 20 = 65")
LONG = """<Step1>47 - 38? wrong step, it should be 47 + 38</Step1>
<Step2>47 + 38<Key>47 + 30 = 77, 77 + 8 = 85</Key></Step2>
<Step3>85 - 20<Key>85 - 20 = 65</Key></Step3>
<Step4>Review: 85 - 38 = 47, 65 + 20 = 85; the final answer 65</Step4>
<Answer>65</Answer>"""
SLIP = LocatedError(step=2, cause="85 - 20 = 65, not 75", correction="85 - 20 = 65")
SETUP = LocatedError(step=1, cause="wrong step, it should be 47 + 38", correction="47 + 38 = 85")


def test_a_long_chain_starts_wrongly_solves_and_verifies() -> None:
    assert long_chain(STEPS, EQUATIONS, "65") == LONG


def test_a_chain_of_words_alone_stays_as_it_is() -> None:
    assert long_chain((Step(number=1, text="It is Monday."),), (None,), "Monday") == (
        "<Step1>It is Monday.</Step1>\n<Answer>Monday</Answer>"
    )


@pytest.mark.parametrize(
    ("equation", "opposite"),
    [
        ("2.5 * 4 = 10", "4 * 2.5 = 10"),
        ("1 + 2 + 3 = 6", "1 + 2 + 3 = 6"),
        ("10 / 3 = 3.33", "10 / 3 = 3.33"),
        ("20% * 50 = 10", "20% * 50 = 10"),
    ],
)
def test_a_verification_that_would_be_false_restates_the_equation(equation: str, opposite: str) -> None:
    assert backwards(find_equations(equation)[0]) == opposite


def test_the_wrong_start_states_no_result() -> None:
    said = given_up(EQUATIONS[1])
    assert said == "85 + 20? wrong step, it should be 85 - 20"
    assert not find_equations(said)


SOURCES = ["stories:ledger", "stories:groups", "stories:compare", "reasoning_gym:chain_sum"]


@pytest.mark.parametrize("source", SOURCES)
def test_every_long_chain_is_true_right_and_longer_than_the_thought(source: str) -> None:
    teacher = ReferenceTeacher()
    for problem in load_problems(source, limit=20, seed=3):
        chain = asyncio.run(teacher.chain(problem))
        steps = parse_steps(chain)
        assert grade(chain, problem.answer)[1].right
        assert all(equation.holds for equation in find_equations(re.sub(r"<[^>]*>", "\n", chain)))
        assert first_wrong_step(problem, steps) is None
        assert len(steps) == len(asyncio.run(teacher.thought(problem)).steps) + 2
        assert GIVEN_UP in steps[0].text and steps[-1].text.startswith(VERIFICATION)


# ---------------------------------------------------------------- rewriting


def test_the_warning_stands_in_the_step_that_the_correction_belongs_to_and_detours_go() -> None:
    wrong = [(Step(number=2, text="85 - 20 = 75"), SLIP), (Step(number=1, text="47 - 38 = 9"), SETUP)]
    assert rewritten(LONG, wrong) == (
        "<Step1>47 + 38<Key>47 - 38? wrong step, it should be 47 + 38; 47 + 30 = 77, 77 + 8 = 85</Key></Step1>\n"
        "<Step2>85 - 20<Key>85 - 20 = 65, not 75; 85 - 20 = 65</Key></Step2>\n<Answer>65</Answer>"
    )


def test_the_same_error_twice_is_one_warning() -> None:
    wrong = (Step(number=2, text="85 - 20 = 75"), SLIP)
    assert rewritten(LONG, [wrong, wrong]).count("not 75") == 1


@pytest.mark.parametrize("errors", [[], [(Step(number=2, text="85 - 20 = 75"), SLIP)]])
def test_without_reflection_only_the_detours_go(errors: list[tuple[Step, LocatedError]]) -> None:
    plain = "<Step1>47 + 38<Key>47 + 30 = 77, 77 + 8 = 85</Key></Step1>\n<Step2>85 - 20<Key>85 - 20 = 65</Key></Step2>"
    assert rewritten(LONG, errors, reflect=False) == f"{plain}\n<Answer>65</Answer>"
    assert errors or rewritten(LONG, []) == f"{plain}\n<Answer>65</Answer>"


@pytest.mark.parametrize(
    ("chain", "correction", "reason"),
    [
        ("Let me think. It is 65.", "85 - 20 = 65", "no_steps"),
        ("<Step1>85 - 20 = 65</Step1>", "85 - 20 = 65", "no_steps"),
        (LONG, "1 + 1 = 2", "no_place"),
        (LONG, "take it away", "no_place"),
    ],
)
def test_a_chain_that_cannot_be_rewritten_says_why(chain: str, correction: str, reason: str) -> None:
    error = SLIP.model_copy(update={"correction": correction})
    with pytest.raises(Unteachable) as caught:
        rewritten(chain, [(Step(number=2, text="85 - 20 = 75"), error)])
    assert caught.value.reason == reason


def test_a_wrong_step_in_words_is_not_repeated() -> None:
    assert warning(Step(number=1, text="It is odd."), SETUP) == "wrong step, it should be 47 + 38"


# ---------------------------------------------------------------- the reference teacher


PROBLEM = Problem(id="p", question="47 + 38 - 20?", answer="65", solution="47 + 38 = 85\n85 - 20 = 65")


def attempt(*texts: str) -> Attempt:
    steps = tuple(Step(number=n, text=text) for n, text in enumerate(texts, start=1))
    return Attempt(problem_id="p", text="\n".join(texts), steps=steps, answer="0", verdict=Verdict(outcome="wrong"))


def test_the_reference_teacher_locates_the_errors_itself() -> None:
    teacher = ReferenceTeacher()
    text = asyncio.run(teacher.refinement(PROBLEM, LONG, [attempt("47 + 38 = 85", "85 - 20 = 75")]))
    assert "85 - 20 = 65, not 75" in text
    with pytest.raises(Unteachable, match="unlocated"):
        asyncio.run(teacher.refinement(PROBLEM, LONG, [attempt()]))
    assert asyncio.run(teacher.refinement(PROBLEM, LONG, [])) == rewritten(LONG, [])

"""Chains by rule: every line of a long chain is true, and a rewriting keeps the way and names the error."""

from __future__ import annotations

import asyncio
import re
from functools import partial

import pytest

from redink.answers import grade
from redink.failures import Unteachable
from redink.markup import parse_steps
from redink.problems import load_problems
from redink.teaching.chains import GIVEN_UP, VERIFICATION, at_once, backwards, given_up, long_chain, rewritten
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


KEYED_1 = "<Step1>47 + 38<Key>47 + 30 = 77, 77 + 8 = 85</Key></Step1>"
KEYED_2 = "<Step2>85 - 20<Key>85 - 20 = 65</Key></Step2>"
AT_ONCE_1, AT_ONCE_2 = "<Step1>47 + 38 = 85</Step1>", "<Step2>85 - 20 = 65</Step2>"
ELSEWHERE = LocatedError(step=1, cause="wrong step, it should be 1 + 1", correction="1 + 1 = 2")
IN_WORDS = LocatedError(step=1, cause="wrong step", correction="take it away")


@pytest.mark.parametrize(
    ("errors", "steps"),
    [
        pytest.param(None, [KEYED_1, KEYED_2], id="nothing is known of the student"),
        pytest.param([], [AT_ONCE_1, AT_ONCE_2], id="its steps were right"),
        pytest.param([SLIP], [AT_ONCE_1, KEYED_2], id="a slip in the second step"),
        pytest.param([SETUP], [KEYED_1, AT_ONCE_2], id="another first step"),
        pytest.param([SLIP, SETUP, SLIP], [KEYED_1, KEYED_2], id="both"),
        pytest.param([ELSEWHERE], [KEYED_1, KEYED_2], id="an error that no step comes to"),
        pytest.param([SLIP, IN_WORDS], [KEYED_1, KEYED_2], id="an error in words beside another"),
    ],
)
def test_detours_go_and_the_working_stays_where_the_student_needs_it(
    errors: list[LocatedError] | None, steps: list[str]
) -> None:
    assert rewritten(LONG, errors) == "\n".join([*steps, "<Answer>65</Answer>"])


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("36 + 50 - 72", "36 + 50 = 86, 86 - 72 = 14"),
        ("47 + 38", "47 + 30 = 77, 77 + 8 = 84"),
        ("Half of them are sold", "48 / 2 = 24"),
        ("47 + 38 = 85", None),
        ("It is Monday", "Sunday is over"),
    ],
)
def test_a_step_that_cannot_be_stated_at_once_keeps_its_working(text: str, key: str | None) -> None:
    step = Step(number=1, text=text, key=key)
    assert at_once(step) == step


@pytest.mark.parametrize("chain", ["Let me think. It is 65.", "<Step1>85 - 20 = 65</Step1>"])
def test_a_chain_that_cannot_be_rewritten_says_why(chain: str) -> None:
    with pytest.raises(Unteachable) as caught:
        rewritten(chain, [SLIP])
    assert caught.value.reason == "no_steps"


# ---------------------------------------------------------------- the reference teacher


PROBLEM = Problem(id="p", question="47 + 38 - 20?", answer="65", solution="47 + 38 = 85\n85 - 20 = 65")


def attempt(*texts: str) -> Attempt:
    steps = tuple(Step(number=n, text=text) for n, text in enumerate(texts, start=1))
    return Attempt(problem_id="p", text="\n".join(texts), steps=steps, answer="0", verdict=Verdict(outcome="wrong"))


def test_the_reference_teacher_locates_the_errors_itself() -> None:
    teacher = ReferenceTeacher()
    refine = partial(teacher.refinement, PROBLEM, LONG)
    assert asyncio.run(refine([attempt("47 + 38 = 85", "85 - 20 = 75")])) == rewritten(LONG, [SLIP])
    assert asyncio.run(refine([attempt("47 + 38 = 85")])) == rewritten(LONG, []), "it stopped early: no step is wrong"
    assert asyncio.run(refine([])) == rewritten(LONG)

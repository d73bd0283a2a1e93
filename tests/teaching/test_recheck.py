"""Results-only attempts and worked-out traces, on hand-made solutions."""

from redink.markup import render_trace
from redink.teaching.recheck import checked, results_only, with_checks
from redink.types import Attempt, CorrectionTrace, LocatedError, Step, Verdict

WRONG = Verdict(outcome="wrong")


def attempt(*steps: Step, answer: str | None = "9") -> Attempt:
    return Attempt(problem_id="p", text="as sampled", steps=steps, answer=answer, verdict=WRONG)


def test_results_only_keeps_set_up_and_claimed_result_and_drops_the_key():
    written = attempt(
        Step(number=1, text="47 + 38", key="47 + 30 = 77, 77 + 8 = 95"), Step(number=2, text="So it is done.")
    )
    shown = results_only(written)
    assert [(step.text, step.key) for step in shown.steps] == [("47 + 38 = 95", None), ("So it is done.", None)]
    assert shown.text == "<Step1>47 + 38 = 95</Step1>\n<Step2>So it is done.</Step2>\n<Answer>9</Answer>"
    assert shown.answer == written.answer


def test_a_text_with_an_equation_keeps_its_own_claim():
    shown = results_only(attempt(Step(number=1, text="47 + 38 = 94", key="85 + 0 = 85")))
    assert shown.steps[0].text == "47 + 38 = 94"


def test_an_attempt_without_steps_is_shown_as_it_is():
    assert results_only(attempt()).text == "as sampled"


def test_an_attempt_without_an_answer_shows_none():
    assert results_only(attempt(Step(number=1, text="1 + 1 = 2"), answer=None)).text == "<Step1>1 + 1 = 2</Step1>"


def test_checked_works_out_each_equation_once():
    steps = checked(
        (Step(number=1, text="47 + 38 = 85"), Step(number=2, text="no sum"), Step(number=3, text="a", key="b"))
    )
    assert [step.key for step in steps] == ["47 + 30 = 77, 77 + 8 = 85, 85 - 85 = 0", None, "b"]


def test_a_wrong_set_up_is_worked_out_as_it_should_be_and_the_rest_sets_up_first():
    trace = CorrectionTrace(
        steps=(
            Step(number=1, text="5 + 4 = 9"),
            Step(number=2, text="9 - 3 = 6"),
            Step(number=3, text="12 * 12 = 144"),
        ),
        error=LocatedError(step=2, cause="wrong step, it should be 9 + 3", correction="9 + 3 = 12"),
        answer="144",
    )
    assert render_trace(with_checks(trace)).splitlines() == [
        "<Step1>5 + 4 = 9<Key>5 + 4 = 9, 9 - 9 = 0</Key></Step1>",
        "<Step2>9 - 3 = 6<Key>9 + 3 = 12, 12 - 6 = 6</Key><Cause>wrong step, it should be 9 + 3</Cause>"
        "<Correction>9 + 3 = 12</Correction></Step2>",
        "<Step3>12 * 12<Key>12 * 10 = 120, 12 * 2 = 24, 120 + 20 = 140, 140 + 4 = 144</Key></Step3>",
        "<Answer>144</Answer>",
    ]


def test_a_correction_in_several_equations_is_the_working_out():
    trace = CorrectionTrace(
        steps=(Step(number=1, text="47 + 38 = 95"),),
        error=LocatedError(step=1, cause="slip", correction="47 + 30 = 77, 77 + 8 = 85"),
        answer="85",
    )
    assert with_checks(trace).steps[0].key == "47 + 30 = 77, 77 + 8 = 85, 95 - 85 = 10"


def test_a_trace_without_an_error_is_worked_out_whole():
    trace = CorrectionTrace(steps=(Step(number=1, text="5 + 4 = 9"),), error=None, answer="9")
    assert with_checks(trace).steps[0].key == "5 + 4 = 9, 9 - 9 = 0"

"""Step errors (SuperCorrect, table 6): does a review mark the first wrong step k, and is its correction right?

Who knows the truth: the teacher's correction trace (`step_errors`), or a judge (`judged_step_errors`). A third figure
tells finding from mending: the student is shown the true k and only has to mend it (`given_location`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import Field

from redink.answers.checkers import MATH, Checker, grade_by
from redink.evaluation.labelled import clean_steps, shown
from redink.evaluation.statistics import Estimate, proportion
from redink.markup import render_step, render_steps
from redink.models.student import Request, Sampling, Student
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.stages.making import not_made
from redink.stages.pairs import STEP_ENDS, marked_error, repairs
from redink.stages.reviews import correction_prompt
from redink.types import (
    Attempt,
    CorrectionRow,
    LabelledSolution,
    OwnCorrection,
    Problem,
    Review,
    Row,
    Step,
    Verdict,
)

OPENED = "<Cause>"
UP_TO_STEP_END = ("</Correction>", *STEP_ENDS)


class StepErrors(Row):
    """Table 6 for one student; shares of 1 with n and a 95 % interval."""

    truth: str = Field(description="Who says which step is the first wrong one.")
    locate: Estimate = Field(description="Locate correctness: of wrong solutions, exactly step k was marked.")
    correct: Estimate = Field(description="Correction accuracy: step k was marked and its correction is right.")
    correct_located: Estimate = Field(description="Of those marked at step k, those whose correction is right.")
    unlocated: int = Field(description="Wrong solutions in which the truth names no wrong step: in no figure.")
    unjudged: int = Field(0, description="Wrong solutions on which no judgment could be read: in no figure.")
    unsure: int = Field(0, description="Corrections at step k that nobody could judge: in `locate` only.")

    @property
    def wrong(self) -> int:
        """All the wrong solutions that were looked at."""
        return self.locate.n + self.unlocated + self.unjudged


def step_errors(wrong: Sequence[Review], truth: Mapping[str, CorrectionRow]) -> tuple[int, int, int]:
    """(located, repaired, n) over the reviews of wrong solutions in which the teacher located the error."""
    located = repaired = n = 0
    for review in wrong:
        row = truth.get(review.problem_id)
        if row is None or row.trace.error is None:
            continue
        n += 1
        located += review.error is not None and review.error.step == row.trace.error.step
        repaired += repairs(review.error, row.trace.error)
    return located, repaired, n


def teacher_step_errors(wrong: Sequence[Review], truth: Mapping[str, CorrectionRow], name: str) -> StepErrors:
    """Table 6 against the teacher's traces, by problem id; `wrong` are the reviews of wrong solutions."""
    located, repaired, n = step_errors(wrong, truth)
    return StepErrors(
        truth=name,
        locate=proportion(located, n),
        correct=proportion(repaired, n),
        correct_located=proportion(repaired, located),
        unlocated=len(wrong) - n,
    )


class JudgedReview(Row):
    """What a judge says of one review of a wrong solution."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample` that was reviewed.")
    step: int | None = Field(description="The first wrong step, by the judge; None: it finds none.")
    readable: bool = Field(description="False: no judgment could be read; the row is in no figure.")
    marked: int | None = Field(description="The step that the review marks.")
    correction: Verdict | None = Field(None, description="On the correction, where the review marks the judge's step.")
    said: str = Field("", description="The judge's reply about the solution, or why there is none.")

    @property
    def located(self) -> bool:
        """The review marks the judge's step."""
        return self.step is not None and self.marked == self.step


def judged_step_errors(judged: Sequence[JudgedReview], judge: str) -> StepErrors:
    """Table 6 by a judge. What it could not judge is never scored: no judgment, no row; no verdict, no correction.

    A correction that the judge is unsure of leaves `correct` and `correct_located` with one case less.
    """
    known = [row for row in judged if row.readable and row.step is not None]
    located = [row for row in known if row.located]
    decided = [row for row in located if row.correction and row.correction.outcome != "ungradable"]
    right = sum(row.correction.right for row in decided if row.correction)
    unsure = len(located) - len(decided)
    return StepErrors(
        truth=judge,
        locate=proportion(len(located), len(known)),
        correct=proportion(right, len(known) - unsure),
        correct_located=proportion(right, len(decided)),
        unlocated=sum(row.readable and row.step is None for row in judged),
        unjudged=sum(not row.readable for row in judged),
        unsure=unsure,
    )


def opened_at(before: Sequence[Step], wrong: Step) -> str:
    """The reply up to the place where only cause and correction are missing: k−1 right steps, step k, `<Cause>`.

    >>> opened_at([], Step(number=1, text="4 + 5 = 8"))
    '<Step1>4 + 5 = 8<Cause>'
    """
    return render_steps(before) + render_step(wrong).removesuffix(f"</Step{wrong.number}>") + OPENED


def given_location(
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    corrections: Sequence[CorrectionRow],
    student: Student,
    prompt: Prompt,
    sampling: Sampling,
    advance: Advance = quiet,
) -> list[OwnCorrection]:
    """The student's cause and correction, shown the true step k (all three aligned; `attempts` as it is shown them).

    It sees problem, P_c and its solution, continues the k−1 right steps of the teacher's trace and its own step k (not
    the trace's, whose key may already hold what is right), and stands in an opened `<Cause>`. Raises `ValueError` for
    a correction that locates no error.
    """
    rows = list(zip(problems, attempts, corrections, strict=True))
    requests = [
        Request(correction_prompt(prompt, problem, written), _opened(written, row)) for problem, written, row in rows
    ]
    replies = student.generate(requests, sampling, advance)
    return [
        OwnCorrection(problem_id=row.problem_id, sample=row.sample, text=drawn[0].text, ends=drawn[0].finish == "end")
        for row, drawn in zip(corrections, replies, strict=True)
    ]


def mended_given_location(
    own: Sequence[OwnCorrection], attempts: Sequence[Attempt], corrections: Sequence[CorrectionRow]
) -> Estimate:
    """Of the located errors, those that the student mends once shown where: its correction has the teacher's value.

    All three are aligned, as `given_location` took and gave them. A correction that cannot be read mends nothing.
    """
    rows = list(zip(own, attempts, corrections, strict=True))
    return proportion(sum(_mends(*row) for row in rows), len(rows))


def _mends(own: OwnCorrection, written: Attempt, row: CorrectionRow) -> bool:
    return row.trace.error is not None and repairs(marked_error(_opened(written, row), own.text), row.trace.error)


def _opened(written: Attempt, row: CorrectionRow) -> str:
    error = row.trace.error
    if error is None:
        raise ValueError(f"the trace about problem {row.problem_id} locates no error")
    step = (written.steps if len(written.steps) >= error.step else row.trace.steps)[error.step - 1]
    return opened_at(row.trace.steps[: error.step - 1], step)


class MendedAnswer(Row):
    """The answer of a student that was shown the true first wrong step of a solution, or was left to find it."""

    id: str = Field(description="The `LabelledSolution.id`.")
    text: str = Field(description="The reply, without what it was given.")
    answer: str | None = Field(description="Its answer, if one could be extracted.")
    verdict: Verdict = Field(description="The checker's verdict on it.")
    truncated: bool = Field(description="It was cut by the token limit.")


class MendedAnswers(Row):
    """How often a student carries wrong solutions through to the right answer (BIG-Bench-Mistake, its correction)."""

    given: Estimate = Field(description="Shown the true first wrong step: the final answer is right.")
    unaided: Estimate | None = Field(
        None, description="The same solutions, left to find it: the final answer is right."
    )
    ungradable: int = Field(description="Answers given the location that nobody could grade; they count as not right.")
    truncated: int = Field(description="Replies given the location that the token limit cut.")


def mendable(solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
    """Those with a marked step, a final answer that is not right, and a gold answer to reach."""
    return [row for row in solutions if row.first_wrong and row.answer and row.answer_right is not True]


def answers_given_location(
    solutions: Sequence[LabelledSolution],
    student: Student,
    prompt: Prompt,
    sampling: Sampling,
    checker: Checker = MATH,
    advance: Advance = quiet,
) -> list[MendedAnswer]:
    """The student carries each solution on from its true first wrong step, an opened `<Cause>` in it, to an answer.

    Every solution has a marked step and a gold answer (`mendable`); raises `ValueError` for one that has not.
    """
    problems = [as_problem(solution) for solution in solutions]
    prefixes = [_opened_solution(solution) for solution in solutions]
    requests = [
        Request(prompt.render(question=solution.question, attempt=shown(solution)), prefix)
        for solution, prefix in zip(solutions, prefixes, strict=True)
    ]
    replies = student.generate(requests, sampling, advance)
    rows = []
    for problem, prefix, drawn in zip(problems, prefixes, replies, strict=True):
        answer, verdict = grade_by(checker, prefix + drawn[0].text, problem)
        rows.append(
            MendedAnswer(
                id=problem.id, text=drawn[0].text, answer=answer, verdict=verdict, truncated=drawn[0].truncated
            )
        )
    return rows


def no_mended_answer(solution: LabelledSolution, why: str) -> list[MendedAnswer]:
    """What stands for the answer to a solution that a student could not be shown: ungradable, hence not right."""
    return [MendedAnswer(id=solution.id, text="", answer=None, verdict=not_made(why), truncated=False)]


def as_problem(solution: LabelledSolution) -> Problem:
    """What the solution answers; raises `ValueError` if its gold answer is not known."""
    if not solution.answer:
        raise ValueError(f"no gold answer is known for {solution.id}")
    return Problem(id=solution.id, question=solution.question, answer=solution.answer, source=solution.source)


def _opened_solution(solution: LabelledSolution) -> str:
    if solution.first_wrong is None:
        raise ValueError(f"no step of {solution.id} is marked as wrong")
    steps = clean_steps(solution)
    return opened_at(steps[: solution.first_wrong - 1], steps[solution.first_wrong - 1])


def mended_answers(given: Sequence[MendedAnswer], unaided: Sequence[Verdict] | None = None) -> MendedAnswers:
    """The shares of right answers; `unaided` are the verdicts on the student's plain reviews of the same solutions."""
    return MendedAnswers(
        given=proportion(sum(row.verdict.right for row in given), len(given)),
        unaided=None if unaided is None else proportion(sum(verdict.right for verdict in unaided), len(unaided)),
        ungradable=sum(row.verdict.outcome == "ungradable" for row in given),
        truncated=sum(row.truncated for row in given),
    )

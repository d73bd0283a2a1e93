"""The rows that flow through the house: frozen, typed, every field documented.

Names follow the papers (docs/paper_map.md). Rows are written to disk as one JSON object per line (`rows.py`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Row(BaseModel):
    """Base of every row: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Problem(Row):
    """A question with its gold answer (x, ŷ) and, where there is one, its gold solution (ŝ)."""

    id: str = Field(min_length=1, description="Unique within a run.")
    question: str = Field(min_length=1, description="What is asked, as the student sees it.")
    answer: str = Field(min_length=1, description="The gold answer ŷ.")
    solution: str | None = Field(None, description="The gold worked solution ŝ; only a teacher ever sees it.")
    subject: str = Field("", description="Group for per-subject figures, e.g. 'algebra' or 'chain_sum'.")
    level: str | None = Field(None, description="Difficulty as the source states it.")
    source: str = Field("", description="Where it comes from, e.g. 'gsm8k/train'.")
    entry: str | None = Field(None, description="What the source's own scorer needs besides the answer, as JSON.")


class Step(Row):
    """One step of a solution: what is done (`text`) and, where it helps, how in detail (`key`)."""

    number: int = Field(ge=1, description="Counts from 1 without gaps within a solution.")
    text: str = Field(description="What this step does.")
    key: str | None = Field(None, description="The spelled-out detail inside <Key>; None where there is none.")


class Thought(Row):
    """A hierarchical thought template (T_tea, s_tea; SuperCorrect section 3.1)."""

    steps: tuple[Step, ...] = Field(min_length=1, description="The solution, step by step.")
    generalized: str | None = Field(None, description="The high-level template: how problems of this kind are solved.")
    answer: str = Field(min_length=1, description="The final answer.")


class LocatedError(Row):
    """The first wrong step (k), why it is wrong (a_k) and how it should read (c_k); SuperCorrect section 3.2."""

    step: int = Field(ge=1, description="k, the number of the first wrong step.")
    cause: str = Field(min_length=1, description="a_k: what went wrong.")
    correction: str = Field(min_length=1, description="c_k: how the step should read.")


class CorrectionTrace(Row):
    """The steps again, cause and correction inside step k, then the steps that follow from the correction.

    `error` is None when the reviewer found every step right.
    """

    steps: tuple[Step, ...] = Field(
        min_length=1, description="Steps 1..k as the student wrote them, then the mended rest."
    )
    error: LocatedError | None = Field(None, description="The first wrong step; None: no step is wrong.")
    answer: str = Field(min_length=1, description="The answer after the correction.")


Outcome = Literal["right", "wrong", "ungradable"]


class Verdict(Row):
    """What the answer checker says of one answer."""

    outcome: Outcome = Field(description="'ungradable' is never counted as wrong silently: it is a figure of its own.")
    reason: str = Field("", description="Why, in a few words, e.g. 'no answer found'.")
    method: str = Field("", description="What decided: 'exact', 'math_verify', …")

    @property
    def right(self) -> bool:
        """True only for outcome 'right'."""
        return self.outcome == "right"


class Attempt(Row):
    """One solution by the student (T_err, s_err, y_err when wrong)."""

    problem_id: str = Field(description="The `Problem.id` it answers.")
    sample: int = Field(0, ge=0, description="Counts the samples drawn for this problem, from 0.")
    text: str = Field(description="The reply, as sampled.")
    steps: tuple[Step, ...] = Field((), description="The steps read from it; empty if none could be read.")
    answer: str | None = Field(None, description="The answer extracted; None if there is none.")
    verdict: Verdict = Field(description="The checker's verdict.")
    truncated: bool = Field(False, description="The reply was cut by the token limit.")
    tokens: int = Field(0, ge=0, description="Length of the reply in the student's tokens; 0 where it is not known.")


class Tried(Row):
    """One try at a row that came to nothing."""

    reason: str = Field(min_length=1, description="A short fixed name, e.g. 'missing_answer'.")
    detail: str = Field("", description="What exactly, for people.")
    raw: str = Field("", description="The text as it came.")


class ThoughtRow(Row):
    """One accepted thought (a row of D_sft)."""

    problem_id: str = Field(description="The `Problem.id` it solves.")
    thought: Thought = Field(description="The accepted thought.")
    rounds: int = Field(1, ge=1, description="Inspection rounds it took (at most 3).")
    tries: tuple[Tried, ...] = Field((), description="What was not accepted before it, oldest first, with the remarks.")


class CorrectionRow(Row):
    """One accepted correction trace by the teacher, about one attempt."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample` that was reviewed.")
    trace: CorrectionTrace = Field(description="The accepted trace.")
    rounds: int = Field(1, ge=1, description="Inspection rounds it took (at most 3).")
    tries: tuple[Tried, ...] = Field((), description="What was not accepted before it, oldest first, with the remarks.")


class Review(Row):
    """The student's own review of one of its attempts: what self-correction (t2) and table 6 are measured on."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample` under review.")
    text: str = Field(description="The review as sampled, without any prefix that was given.")
    error: LocatedError | None = Field(
        None, description="The error it marked; None if it marked none or is unreadable."
    )
    answer: str | None = Field(None, description="The answer at t2.")
    verdict: Verdict = Field(description="The checker's verdict on `answer`.")
    truncated: bool = Field(False, description="The review was cut by the token limit.")
    tokens: int = Field(0, ge=0, description="Length of the review in the student's tokens; 0 where it is not known.")


class PreferencePair(Row):
    """A row of D_corr: both sides continue the same prompt and the same k−1 right steps (SuperCorrect eq. 8)."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample` the pair is about.")
    prompt: str = Field(description="The correction prompt P_c with problem and wrong solution: the user's message.")
    prefix: str = Field(description="The first k−1 steps of the trace, shared; empty for k = 1.")
    chosen: str = Field(min_length=1, description="Teacher's step k with (a⁺, c⁺).")
    rejected: str = Field(min_length=1, description="Student's continuation of the same prefix with (a⁻, c⁻).")
    chosen_ends: bool = Field(False, description="The chosen side ends the reply (an end-of-sequence token follows).")
    rejected_ends: bool = Field(False, description="The rejected side ends the reply.")
    kind: Literal["error", "confirmation", "solution", "step", "exposure"] = Field(
        "error",
        description="'confirmation': the attempt is right and the rejected side is a false alarm; 'solution': whole "
        "solutions; 'step': the right next step; 'exposure': the student's own error is preferred (ORION).",
    )


class Quarantined(Row):
    """A row that could not be made: kept with its reason and its raw text, never silently dropped."""

    problem_id: str = Field(description="The `Problem.id`, or the file and line if it has none.")
    sample: int = Field(0, ge=0, description="The sample, where there are several per problem.")
    stage: str = Field(description="The stage that quarantined it.")
    reason: str = Field(min_length=1, description="A short fixed name, e.g. 'missing_answer'.")
    detail: str = Field("", description="What exactly, for people.")
    raw: str = Field("", description="The text as it came.")
    tries: tuple[Tried, ...] = Field((), description="The tries before this last one, oldest first.")


class StageCounts(Row):
    """The books of one stage: accepted + rejected + quarantined = inputs, always."""

    stage: str = Field(description="The stage's name.")
    inputs: int = Field(ge=0, description="Rows that entered.")
    accepted: int = Field(ge=0, description="Rows that came out.")
    rejected: int = Field(0, ge=0, description="Rows left out for a stated reason (see `reasons`).")
    quarantined: int = Field(0, ge=0, description="Rows that could not be made; kept in quarantine.jsonl.")
    reasons: dict[str, int] = Field(default_factory=dict, description="How many were left out, by reason.")

    @property
    def balanced(self) -> bool:
        """True if nothing is lost."""
        return self.accepted + self.rejected + self.quarantined == self.inputs


class Rejected(Row):
    """An input left out for a stated reason, e.g. a pair whose student side is right: counted, and named."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The sample, where there are several per problem.")
    stage: str = Field(description="The stage that left it out.")
    reason: str = Field(min_length=1, description="A short fixed name, e.g. 'student_is_right'.")


class ChainRow(Row):
    """A chain of thought to learn or to refine: the teacher's long one (ORION), or a plain one."""

    problem_id: str = Field(description="The `Problem.id` it solves.")
    text: str = Field(min_length=1, description="The chain as a student would write it, answer included.")


class ExposedError(Row):
    """One distinct error of the student at one problem (ORION, error exposure)."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample` that stands for all that err alike.")
    text: str = Field(description="That solution, as sampled.")
    answer: str | None = Field(None, description="Its wrong answer; None if it gives none.")
    step: int | None = Field(None, ge=1, description="Its first wrong step, where arithmetic can tell.")
    count: int = Field(1, ge=1, description="Solutions with the same answer or the same first wrong step.")
    nll: float | None = Field(None, description="−log p of the solution in nats by the student, where it is asked for.")


class RefinedChain(Row):
    """A rewriting of the teacher's chain with the student's own errors in mind (ORION, refinement)."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="Which try this is, from 0.")
    text: str = Field(min_length=1, description="The chain, answer included.")
    errors: tuple[int, ...] = Field((), description="The `ExposedError.sample` of each error that was shown.")
    similarity: float = Field(ge=0, le=1, description="To the teacher's chain: 1 is a copy (`stages/refinement.py`).")


class Reflection(Row):
    """What the student says of its own solution before it tries again (Reflexion; a baseline)."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample` it is about.")
    trial: int = Field(0, ge=0, description="Counts the trials, from 0.")
    text: str = Field(description="The reflection, as sampled.")
    truncated: bool = Field(False, description="It was cut by the token limit.")


class OwnCorrection(Row):
    """The student's own continuation of the teacher's prefix (a⁻, c⁻), sampled without the gold solution."""

    problem_id: str = Field(description="The `Problem.id`.")
    sample: int = Field(0, ge=0, description="The `Attempt.sample` under review.")
    text: str = Field(description="Step k as the student reviews it.")
    ends: bool = Field(False, description="The student ended its reply here.")


class LabelledSolution(Row):
    """A solution whose first wrong step people have marked (ProcessBench, BIG-Bench-Mistake)."""

    id: str = Field(min_length=1, description="Unique within its set, e.g. 'processbench/gsm8k/17'.")
    question: str = Field(min_length=1, description="What was asked.")
    steps: tuple[Step, ...] = Field(min_length=1, description="The solution as it was written, steps from 1.")
    first_wrong: int | None = Field(description="k, from 1, as people marked it; None: they found every step right.")
    answer_right: bool | None = Field(
        None, description="Whether its final answer is right; None: the set does not say."
    )
    answer: str | None = Field(None, description="The gold answer, where the set has one.")
    source: str = Field("", description="Where it comes from, e.g. 'processbench/gsm8k'.")

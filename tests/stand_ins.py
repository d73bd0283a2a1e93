"""Stand-ins for the stages' tests: a student that says what it is told, a teacher and an inspector that do as listed."""

from __future__ import annotations

from collections.abc import Sequence

from redink.failures import RowFailure
from redink.models.student import Completion, Request, Sampling
from redink.progress import Advance, quiet
from redink.prompts import Prompt
from redink.teaching.protocols import Inspection
from redink.types import Attempt, CorrectionTrace, LocatedError, Problem, Step, Thought, Verdict

SOLVE = Prompt(name="solve", text="Q: {{question}}")
CORRECT = Prompt(name="correct", text="Q: {{question}} A: {{attempt}}")
GREEDY = Sampling()

PROBLEM = Problem(id="p1", question="47 + 38 - 20 + 1?", answer="66", solution="secret", subject="sums")
WRITTEN = "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75</Step2>\n<Step3>75 + 1 = 76</Step3>\n<Answer>76</Answer>"
STEPS = (
    Step(number=1, text="47 + 38 = 85"),
    Step(number=2, text="85 - 20 = 75"),
    Step(number=3, text="65 + 1 = 66"),
)
ERROR = LocatedError(step=2, cause="85 - 20 = 65, not 75", correction="85 - 20 = 65")
TRACE = CorrectionTrace(steps=STEPS, error=ERROR, answer="66")
ATTEMPT = Attempt(
    problem_id="p1",
    sample=4,
    text=WRITTEN,
    steps=(*STEPS[:2], Step(number=3, text="75 + 1 = 76")),
    answer="76",
    verdict=Verdict(outcome="wrong"),
)
THOUGHT = Thought(steps=(Step(number=1, text="Add."),), answer="66")


class SayingStudent:
    """Says the listed replies, `samples` per request, and remembers what it was asked."""

    def __init__(self, *replies: str | Completion) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, advance: Advance = quiet
    ) -> list[list[Completion]]:
        self.requests += requests
        drawn = []
        for _ in requests:
            drawn.append([self._next() for _ in range(sampling.samples)])
            advance(sampling.samples)
        return drawn

    def _next(self) -> Completion:
        reply = self.replies.pop(0)
        return reply if isinstance(reply, Completion) else Completion(reply, "stop", 1)


class Desk:
    """Teacher and inspector in one: works and verdicts per problem id, in order; a failure is raised."""

    def __init__(
        self,
        works: dict[str, list[Thought | CorrectionTrace | RowFailure]],
        verdicts: dict[str, list[Inspection | RowFailure]] | None = None,
    ) -> None:
        self.works, self.verdicts = works, verdicts or {}
        self.remarks: list[tuple[str, ...]] = []
        self.inspected: list[tuple[str, Attempt | None]] = []

    async def thought(self, problem: Problem, remarks: Sequence[str] = ()) -> Thought:
        work = self._work(problem, remarks)
        assert isinstance(work, Thought)
        return work

    async def correction(self, problem: Problem, attempt: Attempt, remarks: Sequence[str] = ()) -> CorrectionTrace:
        work = self._work(problem, remarks)
        assert isinstance(work, CorrectionTrace)
        return work

    def _work(self, problem: Problem, remarks: Sequence[str]) -> Thought | CorrectionTrace:
        self.remarks.append(tuple(remarks))
        work = self.works[problem.id].pop(0)
        if isinstance(work, RowFailure):
            raise work
        return work

    async def inspect(
        self,
        problem: Problem,
        work: Thought | CorrectionTrace,
        attempt: Attempt | None = None,
        remarks: Sequence[str] = (),
    ) -> Inspection:
        self.inspected.append((problem.id, attempt))
        listed = self.verdicts.get(problem.id)
        verdict = listed.pop(0) if listed else Inspection(accepted=True)
        if isinstance(verdict, RowFailure):
            raise verdict
        return verdict

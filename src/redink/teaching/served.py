"""The reference teacher and inspector behind HTTP: an offline run then takes the very path that a paid teacher takes.

    python -m redink.teaching.served --problems demo/problems.thoughts.jsonl --problems demo/problems.errors.jsonl

prints `listening http://127.0.0.1:PORT/v1`; that is a recipe's `base_url`. `--script` makes the server slow, limited
or faulty (models/fake_server.py). What is asked is recognised by the prompts that `LLMTeacher` and `LLMInspector` fill
in, and the problem by its question; an attempt is read out of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from redink.answers import grade
from redink.failures import Failure, MarkupFailure, Unteachable
from redink.markup import parse_steps, parse_thought, parse_trace, render_thought, render_trace
from redink.models.fake_server import Asked, Refused, Said, options, read_script, serve_forever
from redink.prompts import Prompt
from redink.rows import read_rows
from redink.teaching.llm import InspectorPrompts, TeacherPrompts, read_errors
from redink.teaching.protocols import Inspection, Inspector, Teacher
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher
from redink.types import Attempt, CorrectionTrace, Problem

T = TypeVar("T")
Fields = Mapping[str, str]
_FIELD = re.compile(r"\{\{([A-Za-z_]+)\}\}")


class Classroom:
    """Answers what an `LLMTeacher` or an `LLMInspector` asks as the reference ones would."""

    def __init__(
        self,
        problems: Iterable[Problem],
        teacher: Teacher | None = None,
        inspector: Inspector | None = None,
        teacher_prompts: TeacherPrompts | None = None,
        inspector_prompts: InspectorPrompts | None = None,
    ) -> None:
        """The bundled prompts unless others are given; teacher and inspector must never wait for anything."""
        self.teacher, self.inspector = teacher or ReferenceTeacher(), inspector or ReferenceInspector()
        self._problems = {problem.question: problem for problem in problems}
        asks, looks = teacher_prompts or TeacherPrompts(), inspector_prompts or InspectorPrompts()
        self._kinds: tuple[tuple[re.Pattern[str], Callable[[Problem, Fields], str]], ...] = (
            (_filled(asks.thought, asks.remarks), self._thought),
            (_filled(asks.correction, asks.remarks), self._correction),
            (_filled(asks.chain, asks.remarks), self._chain),
            (_filled(asks.refinement, asks.remarks), self._refinement),
            (_filled(looks.thought, looks.remarks), self._look_at_thought),
            (_filled(looks.trace, looks.remarks), self._look_at_trace),
        )

    def __call__(self, asked: Asked) -> Said | Refused:
        """The reply; a prompt or a question that is not known is refused (400)."""
        prompt = asked.prompt
        for pattern, answer in self._kinds:
            if found := pattern.fullmatch(prompt):
                problem = self._problems.get(found["question"])
                if problem is None:
                    return Refused(400, "the question of this prompt is none of the problems served")
                return Said(answer(problem, found.groupdict("")))
        return Refused(400, "this is none of the prompts served")

    def _thought(self, problem: Problem, fields: Fields) -> str:
        try:
            return render_thought(_now(self.teacher.thought(problem, _remarks(fields))))
        except Unteachable as failure:
            return f"I cannot write this lesson: {failure.detail}."

    def _correction(self, problem: Problem, fields: Fields) -> str:
        attempt = _attempt(problem, fields["attempt"])
        try:
            return render_trace(_now(self.teacher.correction(problem, attempt, _remarks(fields))))
        except Unteachable as failure:
            if failure.reason != "unlocated":
                return f"I cannot mark this attempt: {failure.detail}."
            return render_trace(CorrectionTrace(steps=attempt.steps, answer=problem.answer))

    def _chain(self, problem: Problem, fields: Fields) -> str:
        try:
            return _now(self.teacher.chain(problem, _remarks(fields)))
        except Unteachable as failure:
            return f"I cannot write this chain: {failure.detail}."

    def _refinement(self, problem: Problem, fields: Fields) -> str:
        errors = [_attempt(problem, text) for text in read_errors(fields["errors"])]
        try:
            return _now(self.teacher.refinement(problem, fields["chain"], errors, _remarks(fields)))
        except Unteachable as failure:
            return f"I cannot rewrite this chain: {failure.detail}."

    def _look_at_thought(self, problem: Problem, fields: Fields) -> str:
        try:
            return _verdict(_now(self.inspector.inspect(problem, parse_thought(fields["work"]))))
        except MarkupFailure as failure:
            return _verdict(Inspection(accepted=False, remarks=(f"The lesson cannot be read: {failure}.",)))

    def _look_at_trace(self, problem: Problem, fields: Fields) -> str:
        attempt = _attempt(problem, fields["attempt"])
        try:
            return _verdict(_now(self.inspector.inspect(problem, parse_trace(fields["work"]), attempt)))
        except MarkupFailure as failure:
            return _verdict(Inspection(accepted=False, remarks=(f"The marking cannot be read: {failure}.",)))


def _filled(prompt: Prompt, remarks: Prompt) -> re.Pattern[str]:
    """A pattern of the prompt with its gaps filled in, the remarks after it or not."""
    return re.compile(rf"{_gaps(prompt.text, set())}(?:\n\n{_gaps(remarks.text, set())})?", re.DOTALL)


def _gaps(text: str, seen: set[str]) -> str:
    """The text as a pattern; a field that comes again must hold the same again."""
    parts = []
    for index, part in enumerate(_FIELD.split(text)):
        if index % 2 == 0:
            parts.append(re.escape(part))
        else:
            parts.append(f"(?P={part})" if part in seen else f"(?P<{part}>.*?)")
            seen.add(part)
    return "".join(parts)


def _remarks(fields: Fields) -> tuple[str, ...]:
    """The remarks as they were given, one a line, each after a dash; a remark of several lines is kept together."""
    said = fields.get("remarks", "")
    return tuple(said.removeprefix("- ").split("\n- ")) if said else ()


def _attempt(problem: Problem, text: str) -> Attempt:
    answer, verdict = grade(text, problem.answer)
    return Attempt(problem_id=problem.id, text=text, steps=parse_steps(text), answer=answer, verdict=verdict)


def _verdict(inspection: Inspection) -> str:
    lines = [f"<Remark>{remark}</Remark>" for remark in inspection.remarks]
    return "\n".join([*lines, f"<Verdict>{'accept' if inspection.accepted else 'revise'}</Verdict>"])


def _now(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that never waits comes to."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("A teacher behind the fake server may not wait for anything.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve the problems of some files."""
    parser = options("The offline reference teacher and inspector as an OpenAI-compatible server on 127.0.0.1.")
    parser.add_argument("--problems", type=Path, action="append", required=True, help="problems as JSONL; repeatable")
    parser.add_argument("--error-rate", type=float, default=0.0, help="share of the teacher's work spoilt on purpose")
    chosen = parser.parse_args(arguments)
    try:
        problems = [problem for path in chosen.problems for problem in read_rows(path, Problem)]
        room = Classroom(problems, ReferenceTeacher(chosen.error_rate, read_script(chosen.script).seed))
        serve_forever(room, read_script(chosen.script), chosen.port, chosen.attached)
    except (Failure, ValueError) as failure:
        parser.error(str(failure))


if __name__ == "__main__":
    main()

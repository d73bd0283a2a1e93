r"""Parse and render `Thought` and `CorrectionTrace`: tolerant in, strict out.

The canonical form (SuperCorrect sections 3.1 and 3.2) has one line per step and nothing after `</Answer>`; step k of
a trace also holds `<Cause>` and `<Correction>`, and a trace has no `<Generalized>`:

    <Step1>47 + 38<Key>47 + 30 = 77, 77 + 8 = 85</Key></Step1>
    <Generalized>Add the tens, then the ones.</Generalized>
    <Answer>85</Answer>

Inside a field only a `<` that opens a reserved tag and the `&` of `&lt;`, `&gt;`, `&amp;` are escaped, so LaTeX stays
readable; reading undoes all three entities. `parse(render(row)) == row` for every row that renders.

How other texts are read:

- **Tags**: any case; `<Step 1>`, `<Step 1:>`, `<step_1>`, `<Step 1: title>` (the title begins the text), attributes
  (`<Step number="1">`), `<Generalised>`, `<Generalization>`, `<Final Answer>`. An unnumbered `<Step>` is the next one;
  self-closing tags are ignored. Sub-steps (`<Step1.1>`) are no tags: they stay in the text as they are.
- **Around**: text outside the elements is left out, code fences too. A trace's `<Generalized>` is left out.
- **Left open**: a step ends at the next Step, Generalized or Answer, a key at the next tag of its step; an open answer
  at the next tag, blank line or code fence. So nested steps are flattened: the inner one ends the outer one, and what
  follows the inner one's closing tag is text around.
- **Parts**: pieces of one part within a step are joined by a space. A `<Key>` inside a cause or correction is read as
  its text. A part that stands directly after its step belongs to that step.
- **Numbers**: a solution may count from 0 (shifted by one). A number that comes again with the same content is
  dropped, with other content it is `repeated_step`; any other jump is `step_gap`.
- **Copies**: a step 1 that comes after a later step or after an answer starts the solution anew. The last copy that
  has an `<Answer>` is read, and if none has one, the last copy.
- **Answer**: the last non-empty `<Answer>`; else the copy's last complete `\boxed{…}`; else its last line
  "the answer is X" or "Answer: X" after the last step.
- **Marks**: the first step with a cause or correction is step k and must have both. Marks in later steps become plain
  text of those steps. A thought with a marked step is a failure, and so is a trace whose only marks belong to no step.

Reasons of a `MarkupFailure`: `bad_character`, `too_many_tags`, `too_many_steps`, `no_steps`, `step_gap`,
`repeated_step`, `empty_step`, `missing_answer`, `missing_cause`, `missing_correction`, `stray_mark`, `marked_thought`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from redink.failures import MarkupFailure
from redink.types import CorrectionTrace, LocatedError, Step, Thought

MAX_STEPS = 1_000
"""The most steps a solution may have."""
MAX_TAGS = 5_000
"""The most reserved tags a text may hold: MAX_STEPS steps with key, cause and correction would not fill it."""

Part = Literal["text", "key", "cause", "correction"]
Element = Literal["step", "generalized", "answer"]
Kind = Literal["step", "generalized", "answer", "key", "cause", "correction"]

_NAME = (
    r"(?P<close>/\s?|)(?P<name>(?ai:step|key|generali[sz](?:ed|ation)|(?:final[\s_]?)?answer|cause|correction))"
    r"(?:[\s_#-]{0,2}(?P<number>[0-9]{1,6}))?(?![\w-]|\.\w)"
)
# The first look-ahead turns away almost everything that is no tag; each part stops at the next '<', hence linear time.
_TAG = re.compile(rf"<(?=[/skgfacSKGFAC][^<>]{{2,230}}>){_NAME}(?P<rest>(?:[\s:./][^<>]{{0,200}})?)>")
_TAG_HEAD = re.compile(rf"<(?={_NAME})")
_ENTITY_HEAD = re.compile(r"&(?=(?:lt|gt|amp);)")
_KINDS: dict[str, Kind] = {
    "st": "step",
    "ke": "key",
    "ge": "generalized",
    "an": "answer",
    "fi": "answer",
    "ca": "cause",
    "co": "correction",
}
_NUMBER_ATTRIBUTE = re.compile(r"=\s{0,3}[\"']?([0-9]{1,6})")
_BOXES = (r"\boxed{", r"\boxed {", r"\fbox{")
_BOX_BRACE = 0
_BLANK_LINE = re.compile(r"\n[ \t\r]*+\n")
_STATED_ANSWER = re.compile(
    r"(?aim)^[ \t>*#-]{0,8}(?:(?:so|thus|hence|therefore|finally|in conclusion),?[ ]{1,3})?"
    r"(?:the[ ]{1,3})?(?:final[ ]{1,3}|correct[ ]{1,3})?answer[ \t*]{0,4}(?:is\b|:|=)[ \t:*]*+(?P<answer>[^\n]++)"
)
_STATED_WITHIN = 4_000  # characters from the end in which such a line is looked for


# --- strict out -----------------------------------------------------------------------------------------------------


def render_thought(thought: Thought) -> str:
    """The canonical text of a thought.

    Raises `ValueError` naming the field that is not canonical: steps not numbered 1..n, a required field empty, space
    around a field, a lone surrogate.
    """
    _check_numbers(thought.steps, first=1)
    lines = [render_step(step) for step in thought.steps]
    if thought.generalized is not None:
        lines.append(_element("Generalized", "generalized", thought.generalized))
    return "\n".join([*lines, _element("Answer", "answer", thought.answer)])


def render_trace(trace: CorrectionTrace) -> str:
    """The canonical text of a correction trace: cause and correction stand inside step k.

    Raises `ValueError` as `render_thought` does, and if `error.step` is none of the steps.
    """
    _check_numbers(trace.steps, first=1)
    error = trace.error
    if error is not None and error.step > len(trace.steps):
        raise ValueError(f"error.step is {error.step}, but the steps are 1 to {len(trace.steps)}")
    lines = [render_step(step, error if error and error.step == step.number else None) for step in trace.steps]
    return "\n".join([*lines, _element("Answer", "answer", trace.answer)])


def render_steps(steps: Sequence[Step]) -> str:
    """Consecutive steps exactly as they stand inside a thought or trace, each followed by a newline.

    `render_steps(steps[:k-1])` is a prefix of the whole rendering; it is empty for k = 1. Raises `ValueError` as
    `render_thought` does; the first number is free.
    """
    if steps:
        _check_numbers(steps, first=steps[0].number)
    return "".join(f"{render_step(step)}\n" for step in steps)


def render_step(step: Step, error: LocatedError | None = None) -> str:
    """One step, without a newline; with `error`, its cause and correction stand inside, after text and key.

    Raises `ValueError` as `render_thought` does, and if `error` is about another step.
    """
    name = f"Step{step.number}"
    if step.number > MAX_STEPS:
        raise ValueError(f"step {step.number}: number is over {MAX_STEPS}")
    if not step.text and step.key is None:
        raise ValueError(f"step {step.number}: text is empty and there is no key")
    text = _escaped(f"step {step.number}: text", step.text)
    key = "" if step.key is None else _element("Key", f"step {step.number}: key", step.key)
    return f"<{name}>{text}{key}{_marks(step.number, error)}</{name}>"


def _marks(number: int, error: LocatedError | None) -> str:
    if error is None:
        return ""
    if error.step != number:
        raise ValueError(f"error.step is {error.step}, but the step is {number}")
    cause = _element("Cause", "error.cause", error.cause)
    return cause + _element("Correction", "error.correction", error.correction)


def _check_numbers(steps: Sequence[Step], first: int) -> None:
    for expected, step in enumerate(steps, start=first):
        if step.number != expected:
            raise ValueError(f"steps: number {step.number} stands where {expected} belongs")


def _element(tag: str, name: str, content: str) -> str:
    if not content:
        raise ValueError(f"{name} is empty")
    return f"<{tag}>{_escaped(name, content)}</{tag}>"


def _escaped(name: str, content: str) -> str:
    if content != content.strip():
        raise ValueError(f"{name} has space around it")
    if _lone_surrogate(content) is not None:
        raise ValueError(f"{name} holds a lone surrogate")
    return _TAG_HEAD.sub("&lt;", _ENTITY_HEAD.sub("&amp;", content))


def _unescaped(content: str) -> str:
    return content.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _lone_surrogate(text: str) -> int | None:
    """The offset of the first character that no file can hold, or None."""
    try:
        text.encode()
    except UnicodeEncodeError as failure:
        return failure.start
    return None


# --- tolerant in ----------------------------------------------------------------------------------------------------


def parse_thought(text: str) -> Thought:
    """Read a thought; raises `MarkupFailure` with a named reason and a character offset (see the module)."""
    copy = _chosen_copy(text)
    steps = _strict_steps(copy)
    marked = _first_marked(steps)
    if marked is not None:
        raise copy.failure("marked_thought", steps[marked].position, "a thought has no <Cause> or <Correction>")
    return Thought(steps=_rows(steps), generalized=_joined(copy.generalized) or None, answer=_required_answer(copy))


def parse_trace(text: str) -> CorrectionTrace:
    """Read a correction trace; `error` is None if no step is marked.

    Raises `MarkupFailure` with a named reason and a character offset (see the module).
    """
    copy = _chosen_copy(text)
    steps = _strict_steps(copy)
    return CorrectionTrace(steps=_rows(steps), error=_located_error(copy, steps), answer=_required_answer(copy))


def parse_steps(text: str) -> tuple[Step, ...]:
    """Every step that can be read, numbered anew from 1 in the order of the text; empty if there is none.

    Never raises: gaps and repetitions are let be, empty steps and identical repetitions left out, and so are the
    cause and correction of the first marked step, as in `parse_trace`. At most MAX_STEPS are read, and none from a
    text with more than MAX_TAGS tags.
    """
    copy = _last_complete(_copies(_encodable(text)) or ())
    drafts = copy.drafts[:MAX_STEPS] if copy else []
    distinct = {step.content: step for step in map(_read_step, drafts) if step.text or step.key}
    return _rows([step._replace(number=number) for number, step in enumerate(distinct.values(), start=1)])


def find_answer(text: str) -> str | None:
    """The content of the last `<Answer>`; None if there is none or it is empty. Never raises."""
    answered = [copy for copy in _copies(_encodable(text)) or () if copy.answer is not None]
    return answered[-1].tagged_answer or None if answered else None


def _encodable(text: str) -> str:
    return text.encode(errors="replace").decode()


class _Tag(NamedTuple):
    kind: Kind
    closing: bool
    void: bool
    number: int | None
    title: str
    start: int
    end: int


def _tags(text: str) -> Iterator[_Tag]:
    """The reserved tags of a text, in order."""
    for match in _TAG.finditer(text):
        kind = _KINDS[match["name"][:2].lower()]
        rest = match["rest"].strip()
        title = rest[1:].strip() if rest.startswith(":") else ""
        void = rest.endswith("/")
        yield _Tag(kind, bool(match["close"]), void, _tag_number(match), title, match.start(), match.end())


def _tag_number(match: re.Match[str]) -> int | None:
    digits = match["number"]
    if digits is None and (attribute := _NUMBER_ATTRIBUTE.search(match["rest"])):
        digits = attribute[1]
    return None if digits is None else int(digits)


@dataclass
class _Draft:
    """A step while it is read: its pieces in the order of the text."""

    number: int
    position: int
    pieces: list[tuple[Part, str]] = field(default_factory=list)


@dataclass
class _Copy:
    """One copy of a solution while it is read; `start` and `end` bound it in `source`."""

    source: str
    start: int
    end: int
    after_steps: int = 0
    drafts: list[_Draft] = field(default_factory=list)
    generalized: list[str] | None = None
    answer: list[str] | None = None
    answer_closed: bool = False
    stray_mark: int | None = None

    def restarts_with(self, number: int) -> bool:
        """Whether a step of this number begins the solution anew."""
        if not self.drafts or number > self.drafts[0].number:
            return False
        return self.answer is not None or self.drafts[-1].number > number

    @cached_property
    def tagged_answer(self) -> str:
        """The content of its last `<Answer>`, or ''; an open one ends at the first blank line or code fence."""
        answer = _joined(self.answer)
        return answer if self.answer_closed else _BLANK_LINE.split(answer, maxsplit=1)[0].partition("```")[0].rstrip()

    def failure(self, reason: str, position: int, detail: str) -> MarkupFailure:
        return MarkupFailure(reason, position, detail, self.source)


class _Reader:
    """The state machine: `element` is what stands open, `part` the part of a step that the next text belongs to."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.copies = [_Copy(text, 0, len(text))]
        self.element: Element | None = None
        self.part: Part | None = None

    @property
    def copy(self) -> _Copy:
        return self.copies[-1]

    def take(self, content: str) -> None:
        """Text between two tags: goes to what stands open, or is text around."""
        if self.element == "generalized" and self.copy.generalized is not None:
            self.copy.generalized.append(content)
        elif self.element == "answer" and self.copy.answer is not None:
            self.copy.answer.append(content)
        elif self.part is not None:
            self.copy.drafts[-1].pieces.append((self.part, content))

    def finish(self, content: str) -> None:
        """The text after the last tag."""
        self.take(_without_open_fence(content))
        if self.element == "step":
            line_end = self.text.find("\n", self.copy.drafts[-1].position)
            self.copy.after_steps = line_end + 1 if line_end >= 0 else len(self.text)

    def leave(self, position: int) -> None:
        """Whatever stands open ends here."""
        if self.element == "step":
            self.copy.after_steps = position
        self.element = self.part = None

    def open_step(self, tag: _Tag) -> None:
        self.leave(tag.start)
        number = tag.number
        if number is None:
            number = self.copy.drafts[-1].number + 1 if self.copy.drafts else 1
        if self.copy.restarts_with(number):
            self.copy.end = tag.start
            self.copies.append(_Copy(self.text, tag.start, len(self.text)))
        self.copy.drafts.append(_Draft(number, tag.start))
        self.element, self.part = "step", "text"
        self.take(tag.title)

    def open_generalized(self, tag: _Tag) -> None:
        self.leave(tag.start)
        self.element, self.copy.generalized = "generalized", []

    def open_answer(self, tag: _Tag) -> None:
        self.leave(tag.start)
        self.element, self.copy.answer, self.copy.answer_closed = "answer", [], False

    def close_element(self, tag: _Tag) -> None:
        """Closes its own kind, and an open answer whatever its kind; anything else is a stray tag."""
        if self.element == tag.kind:
            self.copy.answer_closed |= tag.kind == "answer"
            self.leave(tag.end)
        elif self.element in ("answer", None):
            self.leave(tag.start)

    def open_key(self, tag: _Tag) -> None:
        if self.has_step_at_hand() and self.part not in ("cause", "correction"):
            self.part = "key"

    def open_mark(self, tag: _Tag) -> None:
        if self.has_step_at_hand():
            self.part = "cause" if tag.kind == "cause" else "correction"
        elif self.copy.stray_mark is None:
            self.copy.stray_mark = tag.start

    def has_step_at_hand(self) -> bool:
        """Whether a step stands open, or only text around came after the last one."""
        after = self.copy.generalized is not None or self.copy.answer is not None
        return self.element == "step" or (bool(self.copy.drafts) and not after)

    def close_key(self, tag: _Tag) -> None:
        if self.part == "key":
            self.close_part(tag)

    def close_part(self, tag: _Tag) -> None:
        if self.part is not None:
            self.part = "text" if self.element == "step" else None


_ON_OPEN: dict[Kind, Callable[[_Reader, _Tag], None]] = {
    "step": _Reader.open_step,
    "generalized": _Reader.open_generalized,
    "answer": _Reader.open_answer,
    "key": _Reader.open_key,
    "cause": _Reader.open_mark,
    "correction": _Reader.open_mark,
}
_ON_CLOSE: dict[Kind, Callable[[_Reader, _Tag], None]] = {
    "step": _Reader.close_element,
    "generalized": _Reader.close_element,
    "answer": _Reader.close_element,
    "key": _Reader.close_key,
    "cause": _Reader.close_part,
    "correction": _Reader.close_part,
}


@lru_cache(maxsize=2)
def _copies(text: str) -> list[_Copy] | None:
    """The copies of a solution in one pass over the tags; None if the tags are too many.

    Kept for the next call, since the steps and the answer of one text are asked for one after the other.
    """
    tags = list(islice(_tags(text), MAX_TAGS + 1))
    if len(tags) > MAX_TAGS:
        return None
    reader, cursor = _Reader(text), 0
    for tag in tags:
        reader.take(text[cursor : tag.start])
        if not tag.void:
            (_ON_CLOSE if tag.closing else _ON_OPEN)[tag.kind](reader, tag)
        cursor = tag.end
    reader.finish(text[cursor:])
    return reader.copies


def _without_open_fence(content: str) -> str:
    content = content.rstrip()
    return content.removesuffix("```") if content.count("```") % 2 else content


# --- from drafts to rows --------------------------------------------------------------------------------------------


def _chosen_copy(text: str) -> _Copy:
    """The copy to read; raises `bad_character`, `too_many_tags`, `no_steps` or `too_many_steps`."""
    surrogate = _lone_surrogate(text)
    if surrogate is not None:
        raise MarkupFailure("bad_character", surrogate, "a lone surrogate", _encodable(text))
    copies = _copies(text)
    if copies is None:
        raise MarkupFailure("too_many_tags", 0, f"more than {MAX_TAGS} tags", text)
    copy = _last_complete(copies)
    if copy is None:
        raise MarkupFailure("no_steps", 0, "there is no <Step1>", text)
    if len(copy.drafts) > MAX_STEPS:
        raise copy.failure("too_many_steps", copy.drafts[MAX_STEPS].position, f"more than {MAX_STEPS} steps")
    return copy


def _last_complete(copies: Sequence[_Copy]) -> _Copy | None:
    """The last copy with steps and an answer; else the last with steps; else None."""
    with_steps = [copy for copy in copies if copy.drafts]
    complete = [copy for copy in with_steps if copy.tagged_answer]
    return next(reversed(complete or with_steps), None)


class _ReadStep(NamedTuple):
    """A step as read; `folded` is its text with cause and correction in their places."""

    number: int
    position: int
    text: str
    key: str
    cause: str
    correction: str
    folded: str

    @property
    def content(self) -> tuple[str | int, ...]:
        return (self.number, *self[2:])

    @property
    def marked(self) -> bool:
        return bool(self.cause or self.correction)


_FIELDS: tuple[tuple[Part, ...], ...] = (
    ("text",),
    ("key",),
    ("cause",),
    ("correction",),
    ("text", "cause", "correction"),
)


def _read_step(draft: _Draft) -> _ReadStep:
    text, key, cause, correction, folded = (
        _joined([content for part, content in draft.pieces if part in parts]) for parts in _FIELDS
    )
    return _ReadStep(draft.number, draft.position, text, key, cause, correction, folded)


def _joined(pieces: Sequence[str] | None) -> str:
    return _unescaped(" ".join(filter(None, map(str.strip, pieces or ()))))


def _strict_steps(copy: _Copy) -> list[_ReadStep]:
    """The steps numbered 1..n; raises `repeated_step`, `step_gap` or `empty_step`."""
    shift = 1 if copy.drafts[0].number == 0 else 0
    kept: dict[int, _ReadStep] = {}
    for step in map(_read_step, copy.drafts):
        known = kept.get(step.number)
        if known is None:
            _check_step(copy, step, expected=len(kept) + 1 - shift)
            kept[step.number] = step
        elif known.content != step.content:
            raise copy.failure("repeated_step", step.position, f"step {step.number} comes again with other content")
    return [step._replace(number=step.number + shift) for step in kept.values()]


def _check_step(copy: _Copy, step: _ReadStep, expected: int) -> None:
    if step.number != expected:
        raise copy.failure("step_gap", step.position, f"step {step.number} where step {expected} was expected")
    if not (step.text or step.key):
        raise copy.failure("empty_step", step.position, f"step {step.number} has neither text nor key")


def _first_marked(steps: Sequence[_ReadStep]) -> int | None:
    return next((index for index, step in enumerate(steps) if step.marked), None)


def _rows(steps: Sequence[_ReadStep]) -> tuple[Step, ...]:
    """The rows: the first marked step without its marks, later marks folded into the text."""
    marked = _first_marked(steps)
    return tuple(
        Step(number=step.number, text=step.text if index == marked else step.folded, key=step.key or None)
        for index, step in enumerate(steps)
    )


def _located_error(copy: _Copy, steps: Sequence[_ReadStep]) -> LocatedError | None:
    """k, a_k, c_k of the first marked step; raises `missing_cause`, `missing_correction` or `stray_mark`."""
    marked = _first_marked(steps)
    if marked is None and copy.stray_mark is not None:
        raise copy.failure("stray_mark", copy.stray_mark, "a <Cause> or <Correction> belongs to no step")
    if marked is None:
        return None
    step = steps[marked]
    if not step.cause:
        raise copy.failure("missing_cause", step.position, f"step {step.number} has a <Correction> alone")
    if not step.correction:
        raise copy.failure("missing_correction", step.position, f"step {step.number} has a <Cause> alone")
    return LocatedError(step=step.number, cause=step.cause, correction=step.correction)


# --- the answer -----------------------------------------------------------------------------------------------------


def _required_answer(copy: _Copy) -> str:
    answer = (
        copy.tagged_answer
        or _last_box(copy.source[copy.start : copy.end])
        or _stated_answer(copy.source[copy.after_steps : copy.end])
    )
    if not answer:
        raise copy.failure("missing_answer", copy.end, "no <Answer>, no \\boxed{}, no line 'Answer: …'")
    return answer


def _last_box(text: str) -> str:
    r"""The content of the last complete `\boxed{…}`, or ''; `\{` and `\}` do not count.

    A box opened at depth d is complete if the depth falls below d somewhere after it.
    """
    if not any(box in text for box in _BOXES):
        return ""
    codes = _brace_codes(text)
    bare = np.concatenate(([True], codes[:-1] != ord("\\")))
    opening = (codes == _BOX_BRACE) | (bare & (codes == ord("{")))
    depth = np.cumsum(opening.astype(np.int64) - (bare & (codes == ord("}"))))
    lowest_after = np.minimum.accumulate(depth[::-1])[::-1]
    complete = np.flatnonzero((codes == _BOX_BRACE) & (lowest_after < depth))
    if not len(complete):
        return ""
    start = int(complete[-1])
    end = start + int(np.argmax(depth[start:] < depth[start]))
    return _joined([text[start + 1 : end]])


def _brace_codes(text: str) -> npt.NDArray[np.uint32]:
    """One code per character of `text`; the brace that opens a box is _BOX_BRACE, a doubled backslash is blank."""
    marked = text.replace(chr(_BOX_BRACE), " ")
    for box in _BOXES:
        marked = marked.replace(box, box[:-1] + chr(_BOX_BRACE))
    return np.frombuffer(marked.replace("\\\\", "  ").encode("utf-32-le"), dtype=np.uint32)


def _stated_answer(tail: str) -> str:
    """X of the last line "the answer is X" or "Answer: X", or ''."""
    lines = _TAG.sub("\n", tail[-_STATED_WITHIN:])
    stated = [match["answer"].rstrip(" \t\r*.").lstrip(" \t*") for match in _STATED_ANSWER.finditer(lines)]
    return _joined(stated[-1:])

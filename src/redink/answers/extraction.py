r"""Find the answer in a reply: the last <Answer>, the last \boxed{}, ####, or "the answer is"; say which it was.

Everything here is linear in the length of the reply. A reply that runs on into a next question is cut there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import Field

from redink.answers.switches import DEFAULT, Switches
from redink.markup import find_answer
from redink.types import Row

Origin = Literal["tag", "box", "hashes", "stated", "last number", "cut off", "none"]
LONGEST_STATED = 400

ANY_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)[ \t]{0,3}(?:\{|(?=[A-Za-z0-9]))")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_BETWEEN = re.compile(
    r"(?:\s|\$|\\[()\[\]]|\\text\{|\\quad|\\[,;]|[,;}*]|\b(?:and|or)\b|\\(?:land|lor))*", re.IGNORECASE
)
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_STATED = re.compile(
    r"(?<![\w</])(?:answer|(?:correct|right) (?:option|choice))\b(?!>)"
    r"(?:(?:[*_]{0,3}+[ \t]{0,20}+(?:\([^)\n]{0,40}\)[ \t]{0,20}+)?"
    r"(?:is|are|was|equals|=|:|would be|should be)(?![a-z])[*_ \t]{0,9}+){1,2}:?\s{0,20}+(?=([^\n]{1,400}))"
    r"|[*_ \t]{0,9}+(?:\n\s{0,20}+|(?<=[ \t])(?=[-\d$\\]))(?=([^\n]{1,400})))",
    re.IGNORECASE,
)
_NEXT = re.compile(
    r"\n[ \t]{0,20}(?:\#{0,3}[ \t]?\*{0,2})(?:next |new )?(?:question|problem|q|exercise|instruction|input|human|user)"
    r"(?:[ \t]?\d{0,3})\*{0,2}[ \t]?:|<\|(?:im_start|im_end|endoftext|eot_id|start_header_id|user)\|>|</s>|\[INST\]"
    r"|<\|im_start\|>|<end_of_turn>",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[\w)}\]$%*\"'])[.!?](?=\s|$)")
_CLAUSE = re.compile(
    r",? (?:because|since|so|which|where|as|but|that is|i\.e\.|however|therefore|thus|hence|is|was|not)\b"
    r"|,(?= (?!and\b|or\b)[a-z]{2,})|;|\s\(because", re.IGNORECASE
)  # fmt: skip
_WRAPPED = re.compile(r"\$\$?(?P<dollar>[^$]+)\$\$?|\\\((?P<round>.+?)\\\)|\\\[(?P<square>.+?)\\\]")
_EMPHASIS = re.compile(r"^[*_`\s]+|[*_`\s]+$")
_AFFIRMS = re.compile(
    r"(?:indeed |also |then )?(?:correct|right|reasonable|consistent|valid|verified|confirmed|plausible)\b(?!:| is)",
    re.IGNORECASE,
)
_HEADING = re.compile(
    r"[*_]{0,3}(?:(?:step|part|case|method|approach)\b\s?[\dA-Za-z]{0,4}[*_]{0,3}(?:[:.\s-]|$)"
    r"|(?:solution|conclusion|final answer|explanation|verification|check|note|summary|analysis|given)[*_:\s]*$)",
    re.IGNORECASE,
)
_TAG_SPACED = re.compile(r"<\s{0,3}(/?)\s{0,3}(answer)\s{0,3}>", re.IGNORECASE)
_TAG_TAIL = re.compile(r"<\s{0,3}[/\\]\s{0,3}answer[^<\n]{0,20}$", re.IGNORECASE)
_ABBREVIATION = re.compile(r"\b(?:[ap]\.m|approx|Mr|Mrs|Ms|Dr|St|vs|no|sq|ft|in|lbs?|oz|etc)$", re.IGNORECASE)


class Extraction(Row):
    """The answer of a reply and where it stood."""

    answer: str | None = Field(description="The answer as it stands in the reply; None if there is none.")
    origin: Origin = Field(
        description="'tag', 'box', 'hashes', 'stated' (the answer is …), 'last number' (if the switch allows it); "
        "'cut off': the last box never closes; 'none'."
    )


NOTHING = Extraction(answer=None, origin="none")
CUT_OFF = Extraction(answer=None, origin="cut off")


class Box(NamedTuple):
    """A box in a text: where it starts and ends, and what is in it."""

    start: int
    end: int
    content: str


def extract(text: str, switches: Switches = DEFAULT) -> Extraction:
    """The answer that a reply gives; the markup's <Answer> goes before any other form. Never raises."""
    cut = _NEXT.search(text, _first_letter(text))
    if cut:
        before = _find(text[: cut.start()], switches)
        if before.answer is not None or before.origin == "cut off":
            return before
    return _find(text, switches)


def extract_turns(first: str, second: str, switches: Switches = DEFAULT) -> tuple[Extraction, Extraction]:
    """The answers of two turns (t1, then its correction t2), each from its own text only.

    A second turn that repeats the first (a transcript that grows) is cut to what is new in it.
    """
    new = second[len(first) :] if first and second.startswith(first) else second
    return extract(first, switches), extract(new, switches)


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{…}, braces balanced; boxes that only a comma, "and" or "or" part are one answer.

    None if there is none or if the last one is cut off.
    """
    found = _boxed(text)
    return found.answer if found is not None else None


def final_number(text: str) -> str | None:
    """The last number that a text states, e.g. the value in which a step or a correction ends."""
    found = ANY_NUMBER.findall(text)
    return found[-1].rstrip(",") if found else None


def _first_letter(text: str) -> int:
    return len(text) - len(text.lstrip())


def _find(text: str, switches: Switches) -> Extraction:
    tagged = find_answer(_TAG_SPACED.sub(r"<\1\2>", text) if "<" in text else text)
    if tagged and _tidy(tagged):
        return Extraction(answer=_tidy(tagged), origin="tag")
    boxed = _boxed(text)
    if boxed is not None:
        return boxed if boxed.answer is None or boxed.answer.strip() else NOTHING
    hashes = [line.strip() for line in _HASHES.findall(text) if not _HEADING.match(line)]
    if hashes:
        return Extraction(answer=hashes[-1], origin="hashes")
    return _stated(text) or _last_number(text, switches)


def _tidy(answer: str) -> str:
    """A tag may hold a box, and what is left of a closing tag that was cut off or turned the wrong way."""
    answer = _TAG_TAIL.sub("", answer).strip()
    inner = last_boxed(answer)
    return inner.strip() if inner and inner.strip() else answer


def _boxed(text: str) -> Extraction | None:
    """None if there is no box at all."""
    boxes = list(_boxes(text))
    if not boxes:
        return None
    if boxes[-1].end < 0:
        return CUT_OFF
    together = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if (
            box.end < 0
            or not _BETWEEN.fullmatch(text, box.end, together[0].start)
            or not _parted(text, box, together[0])
        ):
            break
        together.insert(0, box)
    return Extraction(answer=", ".join(box.content.strip() for box in together), origin="box")


def _parted(text: str, one: Box, other: Box) -> bool:
    """Whether a comma, "and" or "or" really stands between two boxes."""
    return re.search(r",|;|\b(?:and|or)\b|\\land|\\lor", text[one.end : other.start], re.IGNORECASE) is not None


def _boxes(text: str) -> Iterator[Box]:
    """Outermost boxes in order; `end` is -1 for one that never closes (then it is the last)."""
    position = 0
    while found := _BOX.search(text, position):
        if not found[0].endswith("{"):
            token = re.compile(r"[A-Za-z0-9]").match(text, found.end())
            assert token is not None
            position = token.end()
            yield Box(found.start(), position, token[0])
            continue
        end = _closing(text, found.end())
        if end < 0:
            yield Box(found.start(), -1, "")
            return
        position = end + 1
        yield Box(found.start(), position, text[found.end() : end])


def _closing(text: str, position: int) -> int:
    """Where the brace that was opened before `position` closes; -1 if it does not."""
    depth = 1
    for found in _BRACES.finditer(text, position):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return -1


def _stated(text: str) -> Extraction | None:
    """What follows the last "answer is" or "answer:", up to the end of its clause.

    A question ("is the answer 5?") states nothing; "the answer is correct" only where nothing else is stated.
    """
    said = [_clause(found[1] or found[2]) for found in reversed(list(_STATED.finditer(text)))]
    said = [clause for clause in said if clause]
    clause = next((clause for clause in said if not _AFFIRMS.match(clause)), said[0] if said else "")
    return Extraction(answer=clause, origin="stated") if clause else None


def _clause(line: str) -> str:
    """The answer at the start of a line: mathematics whole, a sentence up to where it goes on to say why."""
    line = _EMPHASIS.sub("", line[:LONGEST_STATED])
    if line.startswith(("$", "\\(", "\\[")):
        return _formulas(line)
    for end in _SENTENCE_END.finditer(line):
        if not _ABBREVIATION.search(line[: end.start()]) and _balanced(line[: end.start()]):
            if end[0] == "?":
                return ""
            line = line[: end.start()]
            break
    clause = _CLAUSE.search(line)
    while clause and not _balanced(line[: clause.start()]):
        clause = _CLAUSE.search(line, clause.end())
    if clause and clause.start():
        line = line[: clause.start()]
    return _EMPHASIS.sub("", line).rstrip(".,;: ").strip()


def _formulas(line: str) -> str:
    """The formula at the start of a line, with those that a comma, "and" or "or" joins to it, and a unit after it."""
    found = _WRAPPED.match(line)
    if found is None:
        return line.strip("$ ").rstrip(".,;: ")
    rest = line[found.end() :]
    joined = re.match(r"\s*(?:,|and\b|or\b|,\s*and\b|,\s*or\b)\s*(?=\$|\\\()", rest)
    formula = next(group for group in found.groups() if group)
    if joined:
        return f"{formula}, {_formulas(rest[joined.end() :])}"
    unit = re.match(r"\s*(%|\\%|[A-Za-z]{2,20}(?:\s+[a-z]{2,20}){0,2})\s*[.!]?\s*$", rest)
    return f"{formula.strip()} {unit[1]}" if unit else formula.strip()


def _balanced(text: str) -> bool:
    return text.count("(") <= text.count(")") and text.count("{") <= text.count("}")


def _last_number(text: str, switches: Switches) -> Extraction:
    number = final_number(text) if switches.last_number else None
    return Extraction(answer=number, origin="last number") if number else NOTHING

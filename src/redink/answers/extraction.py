r"""Find the answer in a reply: the last <Answer>, the last \boxed{}, ####, or "the answer is"."""

from __future__ import annotations

import re

from redink.markup import find_answer

HASHES = re.compile(r"####[ \t]*([^\n]+)")
STATED = re.compile(r"(?<![\w</])answer\b(?!>)(?:\s++is\b)?\s*+:?\s*+([^\n]{1,200}?)\.?[^\S\n]*(?:\n|$)", re.IGNORECASE)
ANY_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def extract(text: str) -> str | None:
    """The answer that a reply gives, or None; the markup's <Answer> goes before any other form."""
    for found in (find_answer(text), last_boxed(text), _last(HASHES, text), _last(STATED, text)):
        if found and found.strip():
            return found.strip()
    return None


def last_boxed(text: str) -> str | None:
    r"""The content of the last complete \boxed{…}, braces balanced; None if it is cut off or absent."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for position in range(begin - 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position]
    return None


def final_number(text: str) -> str | None:
    """The last number that a text states, e.g. the value in which a step or a correction ends."""
    found = ANY_NUMBER.findall(text)
    return found[-1].rstrip(",") if found else None


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return found[-1] if found else None

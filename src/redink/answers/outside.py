r"""What our own reader leaves out and sympy's may read: looked at before a worker is asked, which costs a thousandfold.

Refused are texts that sympy's reader cannot take, by their letters alone: a command that neither knows, brackets that
do not close, relations (the worker compares values and matrices). Nothing is decided here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from redink.answers.expressions import FUNCTIONS, names_in
from redink.answers.latex import GREEK, Undecided, Unreadable, Unsupported, clean
from redink.answers.reading import Matrix, Scalar, Value, has_sign, read
from redink.answers.values import Undefined, evaluate, point, whole_names

LONGEST = 400
_COMMANDS = FUNCTIONS | GREEK | frozenset({
    "int", "lim", "sum", "prod", "frac", "sqrt", "pi", "infty", "binom", "choose", "det", "cdot", "times", "div", "to",
    "rightarrow", "mathrm", "text", "operatorname", "begin", "end", "lfloor", "rfloor", "lceil", "rceil", "mod", "bmod",
    "overline", "bar", "hat", "tilde", "mathbf", "mathit", "arcsinh", "arccosh", "arctanh", "arsinh", "arcosh",
    "artanh", "arccsc", "arcsec", "arccot", "prime", "lvert", "rvert", "vert", "ast", "circ", "dots", "ldots", "cdots",
})  # fmt: skip
_KINDS = frozenset({"matrix", "pmatrix", "bmatrix", "vmatrix", "smallmatrix", "array"})
_COMMAND = re.compile(r"\\([a-zA-Z]+)")
_ENVIRONMENT = re.compile(r"\\(begin|end)\s?\{([^{}]*)\}")
_LIMITS = re.compile(r"_\s?\{[^{}]{0,60}\}")
_STRANGE = re.compile(r"[^\x20-\x7e]|[<>\"#?@`;:]|\\(?![a-zA-Z])|(?:^|[^\\]) ?%")
_ROOT = re.compile(r"\\sqrt\s?(\\[a-zA-Z]+|[0-9A-Za-z])")
_PAIRS = {")": "(", "]": "[", "}": "{"}


class Question(NamedTuple):
    """Two cleaned answers for the worker, in a fixed order."""

    one: str
    other: str


def question(one: str, other: str) -> Question | None:
    """The question to the worker about two answers of which our reader leaves one out; None where it is in vain.

    Raises `TooLarge` if one of them exceeds a bound: that one is evaluated nowhere.
    """
    if max(len(one), len(other)) > LONGEST:
        return None
    hopes = [_is_hopeful(text) for text in (one, other)]
    return Question(_braced(one), _braced(other)) if all(hopes) else None


def _braced(text: str) -> str:
    """The cleaned text; sympy's reader wants braces under a root."""
    return _ROOT.sub(r"\\sqrt{\1}", clean(text))


def _is_hopeful(text: str) -> bool:
    try:
        return _has_value(read(text))
    except Undecided:
        return False
    except Unsupported:
        return looks_readable(clean(text))
    except Unreadable:
        return False


def _has_value(value: Value) -> bool:
    """Whether a value is one that the worker could compare: a matrix, or an expression within the bounds."""
    if not isinstance(value, Scalar):
        return isinstance(value, Matrix)
    if value.unit is not None or value.percent or has_sign(value.node):
        return False
    try:
        evaluate((value.node,), point(names_in(value.node), whole_names(value.node), 0))
    except (Undefined, Unsupported):
        return True
    return True


def looks_readable(text: str) -> bool:
    r"""Whether a cleaned text is made of what sympy's reader knows.

    >>> looks_readable("\\int_0^1 x dx"), looks_readable("\\fra{1}{2}")
    (True, False)
    """
    text = text.replace("\\\\", " ")
    if _STRANGE.search(text) or "=" in _LIMITS.sub("", text):
        return False
    if not _COMMANDS.issuperset(_COMMAND.findall(text)) or not _closes(text):
        return False
    found = _ENVIRONMENT.findall(text)
    begun, ended = ([kind for side, kind in found if side == which] for which in ("begin", "end"))
    return sorted(begun) == sorted(ended) and _KINDS.issuperset(begun) and len(begun) == text.count("\\begin")


def _closes(text: str) -> bool:
    """Whether every bracket closes, with its own kind."""
    still_open: list[str] = []
    for letter in text:
        if letter in "([{":
            still_open.append(letter)
        elif letter in _PAIRS and (not still_open or still_open.pop() != _PAIRS[letter]):
            return False
    return not still_open

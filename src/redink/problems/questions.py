"""When two questions are the same question: the key by which sets are kept apart."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_GLYPHS = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "−": "-", "–": "-", "—": " ", "×": "*", "÷": "/", "$": " "}
)
_WORD = r"[^\W\d_]{2}"  # two letters: a word, not a variable
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\[,;:! ]", " "),  # LaTeX spacing
        (r"(?<=\d),(?=\d{3}(?!\d))", ""),  # 1,200
        (r"\{(\w)\}", r"\1"),  # x^{2}
        (r"[,;:?\"`]", " "),
        (r"\.(?!\d)", " "),  # a full stop, not a decimal point
        (rf"'(?<={_WORD}')|'(?<![\w)']')", ""),  # an apostrophe or a quote, not f'(x)
        (rf"!(?<={_WORD}!)!*|!(?<!\S!)!*", " "),  # not n! or 5!
        (rf"-(?<={_WORD}-)(?={_WORD})", " "),  # twenty-five, not x-y or -3
    )
)
_SPACED_OPERATOR = re.compile(r" ?([-+*/=<>^()\[\]{}|&]) ?")


def normalise(question: str) -> str:
    """Return the question without what does not tell two questions apart.

    Unicode NFKC, case-folded, white space and the punctuation of prose collapsed, LaTeX dollars and spacing
    dropped. Operators, signs, brackets, decimal points and factorials stay: `5 - 3` is not `5 + 3`.

    >>> normalise("What is  $5 - 3$?") == normalise("what is 5-3")
    True
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", question).casefold()).translate(_GLYPHS)
    text = text.strip()  # "\\ " is a space of LaTeX only where something follows it
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _SPACED_OPERATOR.sub(r"\1", " ".join(text.split()))


def question_key(question: str) -> str:
    """SHA-256 of the normalised question, 64 hexadecimal digits."""
    return hashlib.sha256(normalise(question).encode("utf-8", "surrogatepass")).hexdigest()

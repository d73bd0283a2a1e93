"""Find the arithmetic in free text and check it exactly, by our own bounded parser (never `eval`).

What is read: plain equations (`3 * 4 + 2 = 14`), GSM8K annotations (`48/2 = <<48/2=24>>24`), LaTeX
(`\\frac{a}{b}`, `\\times`, `\\cdot`, `\\div`), money, thousands separators, percentages (`20% of 50 = 10`), units
between the numbers (`5 apples x 3 = 15 apples`) and chains (`a = b = c`, one equation per sign).
What cannot be read for certain (a variable, a clock time, a step's label) makes no equation: silence is better than a
false alarm.

Bounds: the first `MAX_CHARACTERS` characters, numbers of `MAX_DIGITS` digits, `MAX_TOKENS` tokens and `MAX_DEPTH`
nested brackets per side; linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from fractions import Fraction
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

MAX_CHARACTERS = 20_000
MAX_DIGITS = 30
MAX_TOKENS = 60
MAX_UNIT_WORDS = 6
MAX_POWER = 12
MAX_DEPTH = 8


@dataclass(frozen=True)
class Expression:
    """One side of an equation, or an expression that stands alone."""

    text: str  # normalised: one space around each operator, no units, no thousands separators
    value: Fraction
    operators: tuple[str, ...] = ()  # of + - * / ^, in reading order
    operands: tuple[Fraction, ...] = ()  # in reading order; a percentage counts as its hundredth part
    decimals: int = 0  # places shown after the point, for a lone number
    percent: bool = False  # a lone percentage, or the last operand is one
    start: int = 0  # character offsets in the text it was read from
    end: int = 0

    @property
    def shown(self) -> Fraction:
        """The number as the reader sees it: 35 for 35 %, whose `value` is 7/20."""
        return self.value * 100 if self.percent and not self.operators else self.value


@dataclass(frozen=True)
class Statement:
    """Something `= right`, as found between the character offsets `start` and `end`.

    `left` is None where it cannot be evaluated (`X = 6 years`).
    """

    left: Expression | None
    right: Expression
    start: int
    end: int
    sign: int  # the offset of the `=`, or of an annotation that has none before it
    roughly: bool = False  # the text says that the right side is rounded


@dataclass(frozen=True)
class Equation:
    """A statement whose two sides can be compared, with an operator on at least one of them."""

    left: Expression
    right: Expression
    holds: bool
    statement: Statement

    @property
    def start(self) -> int:
        """Where it starts in the text."""
        return self.statement.start

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.statement.end

    @property
    def text(self) -> str:
        """The equation, normalised."""
        return f"{self.left.text} = {self.right.text}"

    @property
    def setup(self) -> Expression:
        """What is to be computed: the left side, or the right one of `41 = 14 + 27`."""
        return self.left if self.left.operators else self.right

    @property
    def result(self) -> Expression:
        """What it comes to."""
        return self.right if self.left.operators else self.left


class _Kind(Enum):
    NUMBER = auto()
    PERCENT = auto()
    OPERATOR = auto()
    OPEN = auto()
    CLOSE = auto()
    FRACTION = auto()
    EQUALS = auto()
    ANNOTATION = auto()
    WORD = auto()
    OPAQUE = auto()  # something mathematical that is not understood: no expression may touch it
    BREAK = auto()  # the end of a clause: no expression reaches across it


class _Token(NamedTuple):
    kind: _Kind
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""
    (?P<annotation> << [^<>\n]{0,200} >> )
  | (?P<text>     \\(?:text|mathrm|mbox|textrm|operatorname)\s*\{ [^{}]{0,200} \} )
  | (?P<skip>     [ \t\r$€£&~_]+ | \\[,;!$ ] | \\\\
                | \\(?:left|right|displaystyle|mathbf|textbf|boxed|text|q?quad)\b
                | \n\s*(?=&?(?:=|≈|\\approx)) | \*\*(?![\d(.]) | (?<![\d)])\*\* )
  | (?P<frac>     \\[dtc]?frac\b )
  | (?P<power>    \^ | \*\* )
  | (?P<times>    \\times\b | \\cdot\b | \\ast\b | [×·⋅*] )
  | (?P<divide>   \\div\b | [÷/] )
  | (?P<equals>   \\approx\b | \\simeq\b | [≈≅] | =+(?!>) )
  | (?P<pause>    \\[\[\]()] | \n | =+> | -> | != | [<>≤≥≠→⇒] | \\(?:n?eq|leq?|geq?|implies|to|[Rr]ightarrow)\b )
  | (?P<opaque>   \d+:\d+ | 0\d+(?![\d.]) | \d+,\d{4,} | \\[A-Za-z]+ )
  | (?P<ordinal>  \d+(?:st|nd|rd|th)\b )
  | (?P<number>   \d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?(?![\d,]*\d) | \d{1,3}(?:[ ]\d{3})+(?![\d.,]*\d)
                | \d+[ ](?:and[ ])?\d+/\d+(?!\d) | \d+[ ]and[ ]\(\d+/\d+\) | (?:\d+(?:\.\d+)?|\.\d+)(?:\.{3}|…)? )
  | (?P<percent>  \\?% | percent\b )
  | (?P<add>      [+] )
  | (?P<subtract> [-−–] )
  | (?P<open>     [({\[] )
  | (?P<close>    [)}\]] )
  | (?P<word>     [A-Za-z]+(?:['’-][A-Za-z]+)* )
  | (?P<other>    . )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPERATORS = {"times": "*", "divide": "/", "add": "+", "subtract": "-", "power": "^"}
_KINDS = {
    "annotation": _Kind.ANNOTATION,
    "frac": _Kind.FRACTION,
    "equals": _Kind.EQUALS,
    "pause": _Kind.BREAK,
    "opaque": _Kind.OPAQUE,
    "ordinal": _Kind.WORD,
    "number": _Kind.NUMBER,
    "percent": _Kind.PERCENT,
    "open": _Kind.OPEN,
    "close": _Kind.CLOSE,
    "word": _Kind.WORD,
    "other": _Kind.BREAK,
}
_SPOKEN = {"x": "*", "X": "*", "of": "*", "times": "*", "plus": "+", "minus": "-"}
_UNIT_LETTERS = frozenset("aAImgLlhs")
_LABELS = frozenset(["step", "equation", "part", "case", "option"])
_CAPITAL_LABELS = frozenset(["Day", "Week", "Month", "Year", "Game", "Round", "Quarter", "Level", "Grade", "Group"])
_ROUGHLY = frozenset(["about", "approximately", "roughly", "around", "nearly"])
_BARRIERS = (_Kind.EQUALS, _Kind.BREAK, _Kind.ANNOTATION)
_OPERAND_ENDS = (_Kind.NUMBER, _Kind.PERCENT, _Kind.CLOSE)
_OPERAND_STARTS = (_Kind.NUMBER, _Kind.OPEN, _Kind.FRACTION)


def find_equations(text: str) -> tuple[Equation, ...]:
    """Every equation in the text that can be evaluated, in reading order.

    At least one side holds an operator: `28 cups = 14 pints` is a conversion, not arithmetic.

    >>> [(found.text, found.holds) for found in find_equations("Half of 48 is 48/2 = 24, and 48 + 24 = 71 clips.")]
    [('48 / 2 = 24', True), ('48 + 24 = 71', False)]
    """
    return tuple(equation for statement in find_statements(text) if (equation := _equation(statement)))


@lru_cache(maxsize=1024)
def find_statements(text: str) -> tuple[Statement, ...]:
    """Every `… = value`, also where the left side cannot be evaluated, in reading order."""
    return tuple(_statements(text))


def find_numbers(text: str) -> tuple[Expression, ...]:
    """Every number in the text, in reading order, with its percent sign and a minus that is no operator."""
    tokens = _tokens(text)
    return tuple(number for index in range(len(tokens)) if (number := _signed(tokens, index)))


def _signed(tokens: Sequence[_Token], index: int) -> Expression | None:
    number = _Reader(tokens, index).number()
    if number is None or not index or tokens[index - 1].text != "-" or tokens[index - 1].end != tokens[index].start:
        return number
    joined = index > 1 and tokens[index - 2].kind in (*_OPERAND_ENDS, _Kind.OPAQUE)
    return number if joined else _negated(number, tokens[index - 1].start)


def read_value(text: str) -> Expression | None:
    """The whole text as one expression (`1,234`, `$5.50`, `\\frac{3}{4}`, `20%`, `14 + 27 apples`), else None."""
    tokens = [token for token in _tokens(text) if token.text != "." or token.end < len(text.rstrip())]
    reader = _Reader(tokens, 0)
    expression = reader.expression()
    return expression if reader.index == len(tokens) else None


def close(left: Expression, right: Expression, roughly: bool = False) -> bool:
    """Whether `left = right` is true, allowing for values that are shown rounded.

    True if the two are equal; or the right side is a lone number shown with d ≥ 1 decimals, and the left rounded to d
    decimals or cut off there; or the left is no whole number and within 1/1000 of the right (its
    operands were rounded before); or, where the text says `≈` or "about", the right is at most one unit of its
    last place away, d = 0 included. A percent sign may stand on one side only: `10/20 * 100 = 50%`, `7/20 * 100% = 35`.
    """
    return any(_agree(left.value, right, ours, theirs, roughly) for ours, theirs in _readings(left, right))


def _agree(exact: Fraction, right: Expression, ours: Fraction, theirs: Fraction, roughly: bool) -> bool:
    unit, gap, lost = Fraction(1, 10**right.decimals), abs(ours - theirs), abs(ours) - abs(theirs)
    if gap == 0 or (roughly and gap <= unit):
        return True
    if right.decimals and -unit / 2 <= lost < unit and gap == abs(lost):
        return True
    return exact.denominator != 1 and gap * 1000 <= abs(right.shown)


def _readings(left: Expression, right: Expression) -> Iterator[tuple[Fraction, Fraction]]:
    """The pairs of values to compare, in the unit that the right side shows."""
    scale = 100 if right.percent and not right.operators else 1
    yield left.value * scale, right.value * scale
    if right.percent and not left.percent:
        yield left.value, right.value * 100
    if left.percent and not right.percent and (abs(left.value) <= 1 or left.operands[-1] == 1):
        yield left.value * 100, right.value


@lru_cache(maxsize=4096)
def show(value: Fraction) -> str:
    """A value as people write it: `41`, `0.2`, and `1/3` where no decimal of at most six places is exact.

    >>> show(Fraction(1, 5)), show(Fraction(-7, 3))
    ('0.2', '-7/3')
    """
    for places in range(7):
        scaled = value * 10**places
        if scaled.denominator == 1:
            digits = f"{abs(int(scaled)):0{places + 1}d}"
            sign = "-" if value < 0 else ""
            return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)
    return f"{value.numerator}/{value.denominator}"


def _equation(found: Statement) -> Equation | None:
    if found.left is None or not (found.left.operators or found.right.operators):
        return None
    setup, result = (found.left, found.right) if found.left.operators else (found.right, found.left)
    return Equation(found.left, found.right, close(setup, result, found.roughly), found)


def _statements(text: str) -> Iterator[Statement]:
    tokens = _tokens(text)
    for index, token in enumerate(tokens):
        found = None
        if token.kind is _Kind.ANNOTATION:
            found = _annotated(tokens, index)
        elif token.kind is _Kind.EQUALS and not _follows(tokens, index, _Kind.ANNOTATION):
            found = _plain(tokens, index)
        if found:
            yield found


def _plain(tokens: Sequence[_Token], index: int) -> Statement | None:
    first, roughly = index + 1, "=" not in tokens[index].text
    while first < len(tokens) and tokens[first].text in _ROUGHLY:
        first, roughly = first + 1, True
    reader = _Reader(tokens, first)
    right = reader.expression()
    if right is None or reader.hangs():
        return _solved(tokens, index)
    left = None if _in_cents(tokens, first) else _left_of(tokens, index)
    start = left.start if left else tokens[index].start
    return Statement(left, right, start, right.end, tokens[index].start, roughly)


def _solved(tokens: Sequence[_Token], index: int) -> Statement | None:
    """`6 = x`, a variable found: the number stands on the left."""
    ends = index + 2 == len(tokens) or (index + 2 < len(tokens) and tokens[index + 2].kind is _Kind.BREAK)
    number = _Reader(tokens, index - 1, index).number() if index else None
    if not (ends and number and tokens[index + 1].kind is _Kind.OPAQUE and _may_start(tokens, index - 1)):
        return None
    return Statement(None, number, number.start, tokens[index + 1].end, tokens[index].start)


def _in_cents(tokens: Sequence[_Token], index: int) -> bool:
    """Whether a number is counted in cents: `$0.28 x 8 = 224 cents` cannot be checked without its units."""
    return _follows(tokens, index, _Kind.WORD) and tokens[index + 1].text in ("cent", "cents")


def _annotated(tokens: Sequence[_Token], index: int) -> Statement | None:
    """`outer = <<left=right>>shown`: the annotation says what is computed, `shown` what the reader sees of it."""
    inner = next(_statements(tokens[index].text[2:-2]), None)
    if inner is None:
        return None
    shown = _Reader(tokens, index + 1).lone()
    agrees = shown is not None and close(inner.right, shown, roughly=True)
    sign = index - 1 if index and tokens[index - 1].kind is _Kind.EQUALS else index
    outer = _left_of(tokens, sign) if sign < index else None
    start = outer.start if outer else tokens[sign].start
    end = shown.end if shown and agrees else tokens[index].end
    return replace(inner, start=start, end=end, sign=tokens[sign].start)


def _follows(tokens: Sequence[_Token], index: int, kind: _Kind) -> bool:
    return index + 1 < len(tokens) and tokens[index + 1].kind is kind


def _left_of(tokens: Sequence[_Token], sign: int) -> Expression | None:
    """The longest expression that ends right before the sign."""
    first = sign
    while first and sign - first < MAX_TOKENS and tokens[first - 1].kind not in _BARRIERS:
        first -= 1
    for index in range(first, sign):
        reader = _Reader(tokens, index, sign)
        expression = reader.expression() if _may_start(tokens, index) else None
        if expression and reader.index == sign:
            apart = tokens[sign - 1].end > expression.end
            return expression if _computes(expression, apart) or _stands_alone(tokens, index, sign) else None
    return None


def _computes(expression: Expression, apart: bool) -> bool:
    """Whether it is arithmetic; a proper fraction of something (`1/2 a cup = 4 ounces`, `apart`) is a quantity."""
    part = apart and expression.operators == ("/",) and abs(expression.value) < 1
    return bool(expression.operators) and not part


def _stands_alone(tokens: Sequence[_Token], index: int, sign: int) -> bool:
    """A bare number is a left side only at the start of a clause: not in `Day 1 = 5 + 3` or `5 apples = 5 * 2`."""
    return sign - index == 1 and (index == 0 or tokens[index - 1].kind in (_Kind.BREAK, _Kind.EQUALS))


def _may_start(tokens: Sequence[_Token], index: int) -> bool:
    token, before = tokens[index], tokens[index - 1] if index else None
    minus = token.text in "-−–" and _follows(tokens, index, _Kind.NUMBER)
    if (token.kind not in _OPERAND_STARTS and not minus) or _dangles(tokens, index):
        return False
    if before is None or before.kind in (_Kind.WORD, _Kind.BREAK, _Kind.EQUALS, _Kind.OPEN, _Kind.ANNOTATION):
        return True
    return before.kind is _Kind.CLOSE and before.end < token.start and not minus


def _dangles(tokens: Sequence[_Token], index: int) -> bool:
    """Whether the words before are an operand that cannot be read, as in `5 + Ann 3 * 4`."""
    first = index
    while first and index - first <= MAX_UNIT_WORDS and tokens[first - 1].kind is _Kind.WORD:
        first -= 1
    return 0 < first < index and tokens[first - 1].kind is _Kind.OPERATOR


@lru_cache(maxsize=256)
def _tokens(text: str) -> tuple[_Token, ...]:
    raw = [
        _Token(_kind(match), _OPERATORS.get(match.lastgroup or "", match.group()), match.start(), match.end())
        for match in _TOKEN.finditer(text[:MAX_CHARACTERS])
        if match.lastgroup != "skip"
    ]
    tokens: list[_Token] = []
    for token, after in zip_longest(raw, raw[1:]):
        tokens.append(_in_context(token, tokens, after))
    return tuple(tokens)


def _kind(match: re.Match[str]) -> _Kind:
    group = match.lastgroup or ""
    if group == "text":
        return _Kind.OPAQUE if re.search(r"\d", match.group()) else _Kind.WORD
    return _Kind.OPERATOR if group in _OPERATORS else _KINDS[group]


def _in_context(token: _Token, before: Sequence[_Token], after: _Token | None) -> _Token:
    """Settle what only the neighbours decide: `x`, `of`, hyphens, bullets, labels, variables."""
    previous = before[-1] if before else None
    if token.kind is _Kind.WORD:
        return _word_in_context(token, previous, after)
    if token.kind is _Kind.OPERATOR and after:
        if token.text == "-" and after.kind is _Kind.WORD and after.start == token.end:
            return token._replace(kind=_Kind.WORD)
        if (previous is None or previous.kind is _Kind.BREAK) and after.start > token.end:
            return token._replace(kind=_Kind.BREAK)
    if token.kind is _Kind.NUMBER and previous and _is_label(previous):
        return token._replace(kind=_Kind.BREAK)
    return token


def _word_in_context(token: _Token, previous: _Token | None, after: _Token | None) -> _Token:
    spoken = _SPOKEN.get(token.text)
    if spoken and previous and after and after.kind in _OPERAND_STARTS:
        loose = token.text in "xX" and previous.kind is _Kind.WORD
        if previous.kind in _OPERAND_ENDS or loose:
            return token._replace(kind=_Kind.OPERATOR, text=spoken)
    if len(token.text) > 1:
        return token
    attached = previous is not None and previous.kind in _OPERAND_ENDS and previous.end == token.start
    return token if token.text in _UNIT_LETTERS and not attached else token._replace(kind=_Kind.OPAQUE)


def _is_label(token: _Token) -> bool:
    label = token.text.removesuffix("s")
    return token.kind is _Kind.WORD and (label.lower() in _LABELS or label in _CAPITAL_LABELS)


class _Reader:
    """Reads one expression from a position; `index` is where it stopped, at most `stop`."""

    def __init__(self, tokens: Sequence[_Token], index: int, stop: int | None = None) -> None:
        self.tokens, self.index, self.depth = tokens, index, 0
        self.stop = min(len(tokens) if stop is None else stop, index + MAX_TOKENS)

    def expression(self) -> Expression | None:
        """sum := product (('+' | '-') product)*, as far as it can be read."""
        return self._chain("+-", self._product)

    def number(self) -> Expression | None:
        """A lone number, with its percent sign if it has one."""
        token = self._take(_Kind.NUMBER)
        number = _number(token) if token else None
        percent = self._take(_Kind.PERCENT) if number else None
        return _as_percent(number, percent) if number and percent else number

    def hangs(self) -> bool:
        """Whether what was read runs on into something that cannot be read: `3x`, `16 + x`, `15(Number of hours)`."""
        token, before = self._peek(), self.tokens[self.index - 1] if self.index else None
        touching = token is not None and before is not None and token.start == before.end
        return token is not None and (
            token.kind is _Kind.OPERATOR or (touching and token.kind in (_Kind.OPAQUE, _Kind.OPEN))
        )

    def lone(self) -> Expression | None:
        """A number that may have a minus."""
        minus = self._peek() if self._is("-") else None
        self.index += minus is not None
        number = self.number()
        return _negated(number, minus.start) if number and minus else number

    def _product(self) -> Expression | None:
        return self._chain("*/", self._power)

    def _power(self) -> Expression | None:
        return self._chain("^", self._operand)

    def _chain(self, operators: str, part: Callable[[], Expression | None]) -> Expression | None:
        left = part()
        while left and (operator := self._operator(operators, left)):
            back = self.index
            self.index += operator != "("
            right = part()
            joined = _join(left, "*" if operator == "(" else operator, right) if right else None
            if joined is None:
                self.index = back
                break
            left = joined
        return left

    def _operator(self, operators: str, left: Expression) -> str:
        """The next operator if it is one of these; "(" stands for the product in `2(16)`."""
        token = self._peek()
        if token and token.kind is _Kind.OPERATOR and token.text in operators:
            return token.text
        touching = token and token.kind is _Kind.OPEN and token.start == left.end and "*" in operators
        return "(" if touching else ""

    def _operand(self) -> Expression | None:
        back = self.index
        minus = self._peek() if self._is("-") else None
        self.index += minus is not None
        operand = self._fraction() or self._group() or self._divisor() or self.number()
        if operand is None:
            self.index = back
            return None
        self._units()
        return _negated(operand, minus.start) if minus else operand

    def _group(self) -> Expression | None:
        back, opened = self.index, self._take(_Kind.OPEN)
        inner = self._inside() if opened and self.depth < MAX_DEPTH else None
        closed = self._take(_Kind.CLOSE) if inner else None
        if not (opened and inner and closed):
            self.index = back
            return None
        text = f"({inner.text})" if inner.operators else inner.text
        group = replace(inner, text=text, start=opened.start, end=closed.end)
        percent = self._take(_Kind.PERCENT)
        return _as_percent(group, percent) if percent else group

    def _inside(self) -> Expression | None:
        self.depth += 1
        inner = self.expression()
        self.depth -= 1
        return inner

    def _fraction(self) -> Expression | None:
        back, macro = self.index, self._take(_Kind.FRACTION)
        above = self._group() if macro else None
        below = self._group() if above else None
        joined = _join(above, "/", below) if above and below else None
        if not (macro and joined):
            self.index = back
            return None
        return replace(joined, text=f"({joined.text})", start=macro.start)

    def _divisor(self) -> Expression | None:
        """The tight fraction after a spaced slash: `2 / 1/4` divides by a quarter."""
        here = self.tokens[max(0, self.index - 1) : self.index + 3]
        if [token.kind for token in here] != [_Kind.OPERATOR, _Kind.NUMBER, _Kind.OPERATOR, _Kind.NUMBER]:
            return None
        slash, above, tight, below = here
        spaced = slash.text == tight.text == "/" and slash.end < above.start
        if not spaced or above.end < tight.start or tight.end < below.start or self.index + 3 > self.stop:
            return None
        self.index += 3
        parts = _number(above), _number(below)
        joined = _join(parts[0], "/", parts[1]) if parts[0] and parts[1] else None
        return replace(joined, text=f"({joined.text})") if joined else None

    def _units(self) -> None:
        """Pass over `clips sold`, `/hour` and `(in May)` after an operand."""
        part = self.tokens[self.index - 1].kind is _Kind.PERCENT
        for _ in range(0 if part and self._word() == "of" else MAX_UNIT_WORDS):
            per = self._is("/") and _follows(self.tokens, self.index, _Kind.WORD)
            self.index += per
            if not self._take(_Kind.WORD) and not self._remark():
                break

    def _word(self) -> str:
        token = self._peek()
        return token.text if token and token.kind is _Kind.WORD else ""

    def _remark(self) -> bool:
        back = self.index
        touching = self.index and self.index < self.stop and self.tokens[self.index - 1].end == self.tokens[back].start
        if not touching and self._take(_Kind.OPEN):
            words = 0
            while self._take(_Kind.WORD) or (words and self._is("/") and self._skip()):
                words += 1
            if words and self._take(_Kind.CLOSE):
                return True
        self.index = back
        return False

    def _skip(self) -> bool:
        self.index += 1
        return True

    def _peek(self) -> _Token | None:
        return self.tokens[self.index] if self.index < self.stop else None

    def _is(self, operator: str) -> bool:
        token = self._peek()
        return token is not None and token.kind is _Kind.OPERATOR and token.text == operator

    def _take(self, kind: _Kind) -> _Token | None:
        token = self._peek()
        if token is None or token.kind is not kind:
            return None
        self.index += 1
        return token


def _number(token: _Token) -> Expression | None:
    digits = _digits(token.text)
    value = _value(digits)
    if value is None:
        return None
    shown = show(value)
    text, decimals = digits if "/" in shown else shown, len(digits.partition(".")[2])
    return Expression(text, value, (), (value,), decimals, False, token.start, token.end)


def _digits(text: str) -> str:
    """A number without its thousands separators and the dots that say it goes on."""
    return re.sub(r",|…|\.{3}|\{,\}|(?<=\d)[ ](?=\d{3}(?!\d|/))", "", text)


@lru_cache(maxsize=4096)
def _value(digits: str) -> Fraction | None:
    if len(digits) > MAX_DIGITS:
        return None
    return _mixed(digits) if "/" in digits else Fraction(digits)


def _mixed(digits: str) -> Fraction | None:
    """`1 1/2`; None where the fraction is not below one."""
    whole, above, below = (int(part) for part in re.findall(r"\d+", digits))
    return whole + Fraction(above, below) if above < below else None


def _as_percent(number: Expression, sign: _Token) -> Expression:
    value = number.value / 100
    return replace(number, text=f"{number.text}%", value=value, operands=(value,), percent=True, end=sign.end)


def _negated(operand: Expression, start: int) -> Expression:
    operands = operand.operands if operand.operators else (-operand.value,)
    return replace(operand, text=f"-{operand.text}", value=-operand.value, operands=operands, start=start)


def _join(left: Expression, operator: str, right: Expression) -> Expression | None:
    value = _apply(left.value, operator, right.value)
    if value is None:
        return None
    return Expression(
        text=f"{left.text} {operator} {right.text}",
        value=value,
        operators=(*left.operators, operator, *right.operators),
        operands=(*left.operands, *right.operands),
        percent=left.percent or right.percent,
        start=left.start,
        end=right.end,
    )


def _apply(left: Fraction, operator: str, right: Fraction) -> Fraction | None:
    """The exact result; None for a division by zero and for powers too large to be arithmetic homework."""
    if operator == "+":
        return left + right
    if operator == "-":
        return left - right
    if operator == "*":
        return left * right
    if operator == "/":
        return left / right if right else None
    small = right.denominator == 1 and 0 <= right <= MAX_POWER and abs(left) <= 10**6
    return left ** int(right) if small else None

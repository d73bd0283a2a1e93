r"""Read a cleaned answer as a value: a scalar with its unit, a tuple, a set, an interval, a matrix, an equation, words.

`read` never evaluates; it raises `Unreadable` for what has no reading, `TooLarge` beyond a bound. Every value is a
frozen tuple, so that a gold answer is read once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from itertools import product as product_of
from typing import Any, NamedTuple

from redink.answers.expressions import Node, names_in, num, number, parse
from redink.answers.latex import (
    NAMED,
    WORDS_OF_TEXT,
    Token,
    TooLarge,
    Undecided,
    Unreadable,
    Unsupported,
    clean,
    tokens,
)
from redink.answers.units import CURRENCY, PERCENT, PLAIN, SCALES, Unit, product, read_unit
from redink.answers.wording import NUMERALS, PARTS, date_in_words, number_in_words

MOST_ITEMS = 200
MOST_SIGNS = 4
MOST_COUNTED = 3
"""Words after a number in words: five red apples. With more it is prose."""


class Decimal(NamedTuple):
    """How a decimal was written: its significant digits, and half a unit of its last place."""

    digits: int
    half: Fraction


class Scalar(NamedTuple):
    """One expression with what stands round it."""

    node: Node
    unit: Unit | None = None
    percent: bool = False
    written: Decimal | None = None


class Words(NamedTuple):
    """Text without mathematics, in lower case without punctuation; `counts` if it begins with a number in words."""

    text: str
    counts: Scalar | None = None


class Choice(NamedTuple):
    """A letter of a multiple-choice question, and the option's text where it stands with it."""

    letter: str
    option: str = ""


class Based(NamedTuple):
    """Digits with the base they are written in."""

    digits: str
    base: int


class Ratio(NamedTuple):
    """a:b or a:b:c; `clock` if it could be a time of day, and then `half` is am, pm or empty."""

    parts: tuple[Node, ...]
    clock: bool
    half: str = ""


class Tuple(NamedTuple):
    """Items in order between brackets: a tuple or, with two ends, an interval."""

    left: str
    right: str
    items: tuple[Value, ...]


class Bag(NamedTuple):
    """Items in no order: `braces` for a set, else a bare list (which may also be read in order)."""

    items: tuple[Value, ...]
    braces: bool


class Union(NamedTuple):
    """Real sets joined: intervals, finite sets, inequalities; `meet` for 'and'."""

    parts: tuple[Value, ...]
    meet: bool = False


class Without(NamedTuple):
    """One real set without another."""

    whole: Value
    removed: Value


class Reals(NamedTuple):
    """All real numbers."""

    name: str = "R"


class Matrix(NamedTuple):
    """Rows of a matrix."""

    rows: tuple[tuple[Value, ...], ...]


class Named(NamedTuple):
    """A value with the name it was given: x = 5, f(x) = 2x, x in [0, 1)."""

    name: Node | str
    value: Value
    member: bool = False


class Equation(NamedTuple):
    """left = right, where neither side is just a name for the other."""

    left: Node
    right: Node


class Statement(NamedTuple):
    """An equation between numbers: 2 + 2 = 5 answers 5, if false statements count."""

    sides: tuple[Scalar, ...]


class Comparison(NamedTuple):
    """A chain of <, le, ne, … between expressions."""

    sides: tuple[Node, ...]
    signs: tuple[str, ...]


class Ellipsis(NamedTuple):
    """The dots in 1, 2, ..., n."""

    dots: str = "..."


Value = (
    Scalar | Words | Choice | Based | Ratio | Tuple | Bag | Union | Without | Reals | Matrix | Named | Equation
    | Statement | Comparison | Ellipsis
)  # fmt: skip

RELATIONS = frozenset({"=", "<", ">", "le", "ge", "ne", "in", "approx", "equiv", "to", "sim", "simeq"})
EQUALS = frozenset({"=", "approx", "equiv", "simeq"})
NO_SOLUTION = Words("no solution")
_CURRENCY_CODES = frozenset({"USD", "EUR", "GBP", "JPY", "INR", "CNY", "Rs"})
_OPEN, _CLOSE = frozenset({"(", "[", "{", "\\{"}), frozenset({")", "]", "}", "\\}"})
_TEXT = re.compile(rf"\\(?:{WORDS_OF_TEXT}|mathrm|operatorname|mathbf)\s?\{{([^{{}}]{{0,400}})\}}")
_ONE_TEXT = re.compile(rf"\\(?:{WORDS_OF_TEXT})\s?\{{[^{{}}\\^_]{{1,400}}\}}")
_VALUED = re.compile(r"\d|[A-Za-z]\s?=")
_CHOICE = re.compile(r"(?:(?:option|choice|answer)\s)?(?:\(\s?([A-Ja-j])\s?\)|([A-J]))[.:)]?", re.IGNORECASE)
_CHOICE_AND_TEXT = re.compile(
    r"(?:\(([A-J])\)|([A-J])[.):])\s?(?!(?:and|or|nor|is|are|not|but)\b)(\S.{0,200})", re.IGNORECASE
)
_MORE_CHOICES = re.compile(r"(?<![\w\\])\(?[A-J][.):]")
_CLOCK = re.compile(r"(\d{1,2})\s?:\s?([0-5]\d)(?:\s?:\s?([0-5]\d))?\s?(?:([ap])\.?\s?m\.?)?", re.IGNORECASE)
_HOUR = re.compile(r"(\d{1,2})\s?([ap])\.?\s?m\.?", re.IGNORECASE)
_TO = re.compile(r"\d{1,9}(?: to \d{1,9}){1,3}", re.IGNORECASE)
_BASED = re.compile(
    r"\(?(-?[0-9A-Z]{1,200}(?:\.[0-9A-Z]{1,200})?)\)?\s?_\s?(?:\{\s?(?:base\s)?(\w{1,6})\s?\}|(\d{1,2}))", re.IGNORECASE
)
_BASE_WORDS = re.compile(r"([0-9A-Z]{1,200})\s?\(?\s?(?:in\s)?base[-\s](\w{1,6})\s?\)?", re.IGNORECASE)
_SPACED = re.compile(
    r"[-+]?\\?\$?\s?(?:\d{1,3}(?: \d{3})+(?:\.\d+)?|\d{1,3}(?:'\d{3})+(?:\.\d+)?|\d{1,3}(?:_\d{3})+(?:\.\d+)?)"
)
_DOTTED = re.compile(r"[-+]?\\?\$?\s?\d{1,3}(?:\.\d{3}){2,}")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d]|,\d)")
_ORDINAL = re.compile(r"(\d+)\s?(?:\^\s?\{?\s?)?(?:st|nd|rd|th)\}?")
_COUNTED = re.compile(r"(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)\s?\(([A-Za-z][A-Za-z\s\-'.]{2,80})\)")
_COMMA_DECIMAL = re.compile(r"([-+]?\\?\$?\s?)(0,\d+|\d+,\d{1,2}|\d{4,},\d+|\d+,\d{4,}|\d{1,3}(?:[. ]\d{3})+,\d+)(\D*)")
_SPACED_COMMA = re.compile(r"([-+]?\\?\$?\s?\d{1,3}(?:(?: \d{3})+|(?:\.\d{3}){2,})),(\d+)")
_ABOUT = re.compile(r"(?:approximately|about|around|roughly|approx\.?|nearly|almost) .*\d", re.IGNORECASE)
_LAKHS = re.compile(r"[-+]?\d{1,2}(?:,\d\d)+,\d{3}(?:\.\d+)?")
_HUNDREDS_LIST = re.compile(r"[1-9]\d\d(?:,[1-9]\d\d)+")
_EMPTY = frozenset(
    {"no solution", "no solutions", "none", "empty set", "no real solution", "no real solutions",
     "there is no solution", "there are no solutions", "no such number exists", "no such numbers exist", "null set",
     "no solution exists", "no solutions exist", "no real solution exists", "no real solutions exist",
     "there is none", "there are none", "there are no real solutions", "there is no real solution"}
)  # fmt: skip
_ALL_REALS = frozenset(
    {"all real numbers", "all reals", "any real number", "the real numbers", "all real", "all real x"}
)
_ALL_REALS_BUT = re.compile(
    r"(?:all|any|every) reals?(?: numbers?)?(?: x)?,? (?:except|other than|but|excluding)(?: for)? (?:x = ?)?"
    r"(\S.{0,60})",
    re.IGNORECASE,
)
_ORDINAL_UNIT = Unit(words=frozenset({"in order"}))
_TEMPERATURES = {read_unit("C"): read_unit("celsius"), read_unit("F"): read_unit("fahrenheit")}
_SMALL_WORDS = frozenset({
    "no", "on", "is", "as", "it", "at", "to", "of", "or", "so", "go", "do", "if", "in", "we", "he", "us", "up",
    "am", "an", "by", "me", "my", "be", "ok", "hi", "ye", "pi", "red", "odd", "one", "two", "six", "ten", "yes",
    "day", "max", "min", "all", "any", "not", "and", "the", "was", "saw", "now", "won", "god", "dog", "tea", "eat",
    "ate", "act", "cat", "arm", "ram", "new", "old", "big", "end", "due",
})  # fmt: skip
_CHANGING = frozenset({
    "not", "no", "plus", "minus", "times", "divided", "over", "choose", "squared", "cubed", "factorial", "factor",
    "factors", "mod", "modulo", "modulus", "because", "since", "which", "that", "if",
    "when", "where", "unless", "except", "but", "than", "and", "or", "higher", "lower", "greater", "larger", "smaller",
    "above", "below", "under", "beyond", "negative", "positive", "loss", "zero", "off", "root", "power", "powers",
    "mil", "mn", "bn", "mln", "invalid", "extraneous", "rejected", "incorrect", "double", "twice", "multiple",
    "multiples", "to", "through", "between", "until", "into", "equals", "equal", "solution", "solutions",
    "wrong", "false", "impossible", "base", "binary", "infinity", "infinite", "infinitely", "raised", "log", "per",
    "mean", "either", "neither", "nor", "without", "instead", "otherwise", "for", "all", "every", "any", "at", "least",
    "most", "up", "approximately", "nearly", "almost",
}).union(PARTS) - {"per", "all", "at", "up", "mean", "approximately", "every", "for"}  # fmt: skip
"""Words after a number that may change what it says: with one of them it is no longer surely that number."""
_DENYING = frozenset({
    "not", "no", "never", "if", "cannot", "unless", "without", "false", "wrong", "neither", "t",
})  # fmt: skip
"""Words before an equation that may deny it (t is what is left of can't)."""
_LOOSE = re.compile(r"(?<![\w^-])(?:[b-np-zB-Z](?!\w)|\d)(?![.'])")
"""A lone letter or a number among the words of a unit."""
_PRODUCTS = ("abcd", "xyz", "pqrs", "klmn", "rst", "uvw")


@lru_cache(maxsize=20_000)
def read(text: str) -> Value:
    """The value that an answer spells; raises `Unreadable` or `TooLarge`."""
    text = clean(text)
    if not text:
        raise Unreadable("it is empty")
    looks = plain(text)
    if re.fullmatch("[A-J]", looks) and looks != text:
        return Choice(looks)
    if _ABOUT.match(looks):
        raise Undecided("about a number")
    if _VALUED.match(looks) and _ONE_TEXT.fullmatch(text):
        text = looks
    special = _special(looks)
    return special if special is not None else _read_mathematics(text)


@lru_cache(maxsize=20_000)
def other_readings(text: str) -> tuple[Value, ...]:
    """Readings that only count where the other answer is not ambiguous: a decimal comma, a list of hundreds."""
    text = clean(text)
    if found := _COMMA_DECIMAL.fullmatch(text):
        whole, _, part = found[2].partition(",")
        return (_read_mathematics(f"{found[1]}{re.sub('[. ]', '', whole)}.{part}{found[3]}"),)
    if _LAKHS.fullmatch(text):
        return (_read_mathematics(text.replace(",", "")),)
    if _HUNDREDS_LIST.fullmatch(text):
        return (_read_mathematics(text.replace(",", ", ")),)
    return ()


def common_logs(part: Any) -> Any:
    """A value with every `log` that has no base read to base ten."""
    if not isinstance(part, tuple):
        return part
    inner = [common_logs(each) for each in part]
    made = part._make(inner) if hasattr(part, "_make") else tuple(inner)
    if isinstance(made, Node) and made.op == "fn" and made.name == "log" and len(made.args) == 1:
        return made._replace(args=(*made.args, num(10)))
    return made


def plain(text: str) -> str:
    """The cleaned text without text commands round words."""
    return " ".join(_TEXT.sub(lambda found: f" {found[1]} ", text).split())


def _special(looks: str) -> Value | None:  # noqa: PLR0911  (one line per kind)
    """What is known by its looks: a choice, a time, a ratio, digits in a base, no solution, a numeral."""
    if found := _CHOICE.fullmatch(looks):
        return Choice((found[1] or found[2]).upper()) if found[1] or len(looks) > 1 else None
    if (found := _CHOICE_AND_TEXT.fullmatch(looks)) and not _MORE_CHOICES.search(found[3]):
        return Choice(found[1] or found[2], found[3])
    if looks[:1].isdigit() and (found := _CLOCK.fullmatch(looks)):
        parts = tuple(num(int(part)) for part in found.groups()[:3] if part)
        return Ratio(parts, True, (found[4] or "").lower())
    if looks[:1].isdigit() and (found := _HOUR.fullmatch(looks)):
        return Ratio((num(int(found[1])), num(0)), True, found[2].lower())
    if looks[:1].isdigit() and _TO.fullmatch(looks):
        return Ratio(tuple(num(int(part)) for part in re.findall(r"\d+", looks)), False)
    if found := _BASED.fullmatch(looks) or _BASE_WORDS.fullmatch(looks):
        return _based(found)
    return _wording(looks)


def _based(found: re.Match[str]) -> Value | None:
    name = next(group for group in found.groups()[1:] if group)
    base = int(name) if name.isdigit() else NUMERALS.get(name.lower(), 0)
    digits = found[1].upper()
    if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits if digit.isalnum()):
        return None
    return Based(_unpadded(digits), base)


def _unpadded(digits: str) -> str:
    sign = "-" if digits.startswith("-") else ""
    return sign + (digits.removeprefix("-").lstrip("0") or "0")


def _wording(looks: str) -> Value | None:  # noqa: PLR0911  (one line per kind)
    words = " ".join(re.sub(r"[^a-z\s\-]", "", looks.lower()).split())
    if words in {"dne", "does not exist", "it does not exist"}:
        return Words("does not exist")
    if words in _EMPTY and not re.search(r"\d", looks):
        return NO_SOLUTION
    if words in _ALL_REALS and not re.search(r"\d", looks):
        return Reals()
    if found := _COUNTED.fullmatch(looks):
        return Scalar(num(number(found[1].replace(",", ""))), _unit_of(found[2]))
    if "real" in words and (found := _ALL_REALS_BUT.fullmatch(looks)):
        removed = _value(tokens(clean(found[1])))
        return Without(Reals(), Bag((removed,), True) if isinstance(removed, Scalar) else removed)
    if looks[:1].isalpha() and (counted := _counted(words)) and re.fullmatch(r"[A-Za-z\s\-]+[.!]?", looks):
        return counted
    if len(words) > 2 and (date := date_in_words(looks)):
        return Words(date)
    if found := _ORDINAL.fullmatch(looks):
        return Scalar(num(int(found[1])), _ORDINAL_UNIT)
    return None


def _counted(words: str) -> Scalar | Words | None:
    """five, two thirds, five hours; five apples stays words. None without a number, or where a word may change it."""
    split = words.replace("-", " ").split()
    found = number_in_words(split)
    if found is None:
        return None
    value, taken = found
    rest = split[taken:]
    if len(rest) > MOST_COUNTED or any(word in _CHANGING or word in NUMERALS or word in SCALES for word in rest):
        return None
    _, percent, unit = _suffix([Token("word", word) for word in rest])
    scalar = Scalar(num(value), unit, percent)
    return Words(words, scalar) if unit is not None and not unit.known else scalar


def _read_mathematics(text: str) -> Value:
    try:
        found = tokens(_without_thousands(_ungrouped(text)))
        return _value(found) if not _is_prose(found) else _words(text)
    except Unsupported:
        raise
    except Unreadable:
        if _is_wordy(text):
            return _words(text)
        raise


def _ungrouped(text: str) -> str:
    """1 234,5 and 1'234 and 1.234.567 with a decimal point and without their separators; 1.234 stays a decimal."""
    if not text[-1:].isdigit() or text.isdigit():
        return text
    if _SPACED.fullmatch(text):
        return re.sub("[ '_]", "", text)
    if found := _SPACED_COMMA.fullmatch(text):
        return f"{re.sub('[ .]', '', found[1])}.{found[2]}"
    return text.replace(".", "") if _DOTTED.fullmatch(text) else text


def _without_thousands(text: str) -> str:
    """1,234 as 1234, outside brackets: (1,234) is a pair."""
    if "," not in text:
        return text
    joined, depth, last = [], 0, 0
    for place, letter in enumerate(text):
        opens, closes = letter in "([" or text.startswith("\\{", place), letter in ")]" or text.startswith("\\}", place)
        if opens and depth == 0:
            joined.append(_THOUSANDS.sub(lambda found: found[0].replace(",", ""), text[last:place]))
            last = place
        depth = max(0, depth + opens - closes)
        if closes and depth == 0:
            joined.append(text[last : place + 1])
            last = place + 1
    rest = text[last:]
    return "".join([*joined, rest if depth else _THOUSANDS.sub(lambda found: found[0].replace(",", ""), rest)])


def _words(text: str) -> Words:
    words = re.sub(r"[^\w\s.:/+\-]", " ", plain(text).lower()).replace("_", " ").split()
    kept = [word.strip(".:/") for word in words]
    if kept and kept[0] in {"the", "a", "an"} and len(kept) > 1:
        kept = kept[1:]
    shown = " ".join(word for word in kept if word)
    if not shown:
        raise Unreadable("there is nothing to read in it")
    return Words(shown)


def _is_wordy(text: str) -> bool:
    """Prose: words, and no sign or command that would be lost in comparing words."""
    return bool(re.search(r"[A-Za-z]{2,}", text)) and not re.search(r"[\\^_=<>*{}|]", plain(text))


def _is_prose(found: list[Token]) -> bool:
    """Letters only, and at least one word that is no product of variables."""
    if any(token.kind in {"num", "cmd"} or token.text in _OPEN - {"("} for token in found):
        return False
    if any(token.kind == "op" and token.text not in {"'", "-", ".", "(", ")", ",", "&", ":"} for token in found):
        return False
    lettered = [token for token in found if token.kind in {"text", "word"}]
    return any(token.kind == "text" or not _is_product(token.text) for token in lettered) and not (
        len(found) > 1 and all(token.kind != "text" and len(token.text) <= 3 for token in found)
    )


def _is_product(word: str) -> bool:
    if len(word) == 2:
        return word.lower() not in _SMALL_WORDS
    return any(set(word) <= set(letters) for letters in _PRODUCTS) and len(word) <= 5 and word not in _SMALL_WORDS


def _value(found: list[Token]) -> Value:
    found = _unwrapped(found)
    if not found:
        raise Unreadable("it is empty")
    if any(token.text in {"forall", "exists"} for token in found if token.kind == "cmd"):
        raise Unreadable("a quantifier")
    parts, separators = _split(found)
    if len(parts) > 1:
        return _several(parts, separators)
    return _single(found)


def _single(found: list[Token]) -> Value:
    sides, signs = _divided(found, RELATIONS)
    if signs:
        return _relation(sides, signs)
    for reader in (_ellipsis, _union, _without, _bracketed, _matrix, _ratio):
        value = reader(found)
        if value is not None:
            return value
    return _scalar(found)


def _ellipsis(found: list[Token]) -> Value | None:
    return Ellipsis() if [token.text for token in found] == ["ldots"] else None


def _union(found: list[Token]) -> Value | None:
    parts, cups = _divided(found, frozenset({"cup"}))
    return Union(tuple(map(_member, parts))) if cups else None


def _member(part: list[Token]) -> Value:
    """A part of a union; {3} without a command is a set there."""
    value = _value(part)
    return Bag((value,), True) if isinstance(value, Scalar) and part[:1] and part[0].text == "{" else value


def _unwrapped(found: list[Token]) -> list[Token]:
    """Without braces round everything, and without stops and quotation marks at the ends."""
    while found and found[-1].text in {",", ";", ".", "&"}:
        found = found[:-1]
    while found and found[0].text in {",", ";", "=", "approx", "equiv", ":"}:
        found = found[1:]
    while len(found) > 2 and found[0].text == "{" and _closes(found, 0) == len(found) - 1:
        inner, _ = _split(found[1:-1])
        if len(inner) > 1:
            return [Token("op", "\\{"), *found[1:-1], Token("op", "\\}")]
        found = found[1:-1]
    return found


def _closes(found: list[Token], start: int) -> int:
    """Where the bracket at `start` closes; half-open intervals may close with the other kind."""
    depth = 0
    for place in range(start, len(found)):
        token = found[place]
        if token.kind == "op":
            depth += (token.text in _OPEN) - (token.text in _CLOSE)
        elif token.kind == "cmd":
            depth += (token.text in {"langle", "begin"}) - (token.text in {"rangle", "end"})
        if depth == 0:
            return place
    return -1


def _level(found: list[Token]) -> list[bool]:
    """Whether each token stands outside every bracket."""
    flat, depth, bars = [], 0, False
    for token in found:
        closes = (token.kind == "op" and token.text in _CLOSE) or (token.kind == "cmd" and token.text == "rangle")
        ends = token.kind == "cmd" and token.text == "end"
        depth -= closes or ends
        if token.kind == "op" and token.text == "|":
            bars = not bars
        flat.append(depth == 0 and not bars)
        depth += token.kind == "op" and token.text in _OPEN
        depth += token.kind == "cmd" and token.text in {"langle", "begin"}
    return flat


def _separator(token: Token) -> str:
    if token.kind == "op" and token.text in {",", ";"}:
        return ","
    if token.kind in {"word", "text"}:
        word = token.text.lower().strip(" ,")
        return word if word in {"and", "or"} else ""
    if token.kind == "cmd":
        return {"land": "land", "lor": "lor", "\\": ","}.get(token.text, "")
    return ""


def _split(found: list[Token]) -> tuple[list[list[Token]], set[str]]:
    """The parts between separators outside brackets, empty ones left out, and which separators there were."""
    parts: list[list[Token]] = [[]]
    separators = set()
    for token, flat in zip(found, _level(found), strict=True):
        separator = _separator(token) if flat else ""
        if separator:
            separators.add(separator)
            parts.append([])
        else:
            parts[-1].append(token)
    kept = [part for part in parts if part]
    if len(kept) > MOST_ITEMS:
        raise TooLarge(f"more than {MOST_ITEMS} items")
    return kept, separators


def _divided(found: list[Token], marks: frozenset[str]) -> tuple[list[list[Token]], list[str]]:
    parts: list[list[Token]] = [[]]
    signs = []
    for token, flat in zip(found, _level(found), strict=True):
        if flat and token.kind in {"op", "cmd"} and token.text in marks:
            signs.append(token.text)
            parts.append([])
        else:
            parts[-1].append(token)
    return parts, signs


def _several(parts: list[list[Token]], separators: set[str]) -> Value:
    values = [_value(part) for part in parts]
    if separators & {"land", "lor"}:
        if not all(isinstance(value, Comparison | Named) for value in values):
            raise Undecided("a logical formula")
        separators = {{"land": "and", "lor": "or"}.get(separator, separator) for separator in separators}
    if separators == {"and"} and (summed := _summed(values)):
        return summed
    if separators <= {"or", ","} and "or" in separators and any(isinstance(value, Comparison) for value in values):
        return Union(tuple(values))
    if all(isinstance(value, Comparison) for value in values):
        return Union(tuple(values), meet=True)
    first = values[0]
    if isinstance(first, Named) and not first.member:
        bare = (first.value, *values[1:])
        if all(isinstance(value, Scalar | Ellipsis) for value in bare):
            return Named(first.name, _bag(bare))
    return _same_name(values)


def _same_name(values: list[Value]) -> Value:
    """x = 1 or x = 2 is x in {1, 2}; other lists stay as they are."""
    named = [value for value in values if isinstance(value, Named)]
    if len(named) == len(values) and len({value.name for value in named}) == 1:
        return Named(named[0].name, _bag(tuple(value.value for value in named)))
    return _bag(tuple(values))


def _bag(values: tuple[Value, ...], braces: bool = False) -> Bag:
    """The items, with every plus-minus written out as two."""
    spread = [each for value in values for each in with_signs(value)]
    return Bag(tuple(spread), braces)


def with_signs(value: Value) -> list[Value]:
    """The value, or the two that its plus-minus signs stand for (all plus, all minus)."""
    if not isinstance(value, Scalar) or not has_sign(value.node):
        return [value]
    return [value._replace(node=_signed(value.node, sign)) for sign in (1, -1)]


def has_sign(node: Node) -> bool:
    """Whether an expression holds a plus-minus sign."""
    return node.op == "pm" or any(map(has_sign, node.args))


def with_free_signs(scalar: Scalar) -> list[Scalar]:
    """What it stands for if every plus-minus may go its own way; empty where only one reading is usual."""
    signs = _signs(scalar.node)
    if "mp" in signs or not 1 < len(signs) <= MOST_SIGNS:
        return []
    ways = product_of((1, -1), repeat=len(signs))
    return [scalar._replace(node=_each_signed(scalar.node, list(way))) for way in ways]


def _signs(node: Node) -> list[str]:
    return [node.name] * (node.op == "pm") + [name for inner in node.args for name in _signs(inner)]


def _each_signed(node: Node, way: list[int]) -> Node:
    if node.op == "pm":
        sign = way.pop(0)
        inner = _each_signed(node.args[0], way)
        return inner if sign > 0 else Node("neg", (inner,))
    return node._replace(args=tuple(_each_signed(inner, way) for inner in node.args)) if node.args else node


def _signed(node: Node, sign: int) -> Node:
    """Every plus-minus read as plus (1) or minus (-1), every minus-plus as the opposite."""
    if node.op == "pm":
        inner = _signed(node.args[0], sign)
        return inner if (sign > 0) == (node.name == "pm") else Node("neg", (inner,))
    return node._replace(args=tuple(_signed(inner, sign) for inner in node.args)) if node.args else node


def _bracketed(found: list[Token]) -> Value | None:
    """A tuple, an interval or a set, if one bracket holds everything."""
    first, last = found[0], found[-1]
    if _closes(found, 0) != len(found) - 1 or len(found) < 2:
        return None
    if first.text == "\\{" and last.text == "\\}":
        return _set(found[1:-1])
    angled = first.kind == "cmd" and first.text == "langle"
    if not angled and (first.text not in {"(", "["} or last.text not in {")", "]"}):
        return None
    parts, _ = _split(found[1:-1])
    if len(parts) == 1:
        grouped = (first.text, last.text) == ("(", ")") or parts[0][0].text == "begin"
        return _value(parts[0]) if grouped else None
    if not parts:
        raise Unreadable("empty brackets")
    listed = angled or (len(parts) > 2 and (first.text, last.text) == ("[", "]"))
    return Tuple("(" if listed else first.text, ")" if listed else last.text, tuple(map(_value, parts)))


def _set(inner: list[Token]) -> Value:
    if not inner:
        return NO_SOLUTION
    bar = next((place for place, token in enumerate(inner) if token.text in {"|", ":"} and token.kind == "op"), 0)
    if bar and (_is_real_name(inner[:bar]) or _level(inner)[bar]):
        return _by_property(inner[:bar], inner[bar + 1 :])
    parts, _ = _split(inner)
    return _bag(tuple(map(_value, parts)), braces=True)


def _is_real_name(found: list[Token]) -> bool:
    """x, or x in R."""
    return found[0].kind == "sym" and (len(found) == 1 or [token.text for token in found[1:]] == ["in", "bbR"])


def _by_property(left: list[Token], right: list[Token]) -> Value:
    """{x | x > 3} is x > 3."""
    condition = _value(right) if _is_real_name(left) else None
    if isinstance(condition, Comparison | Union | Named):
        return condition
    raise Unsupported("a set by its property")


def _without(found: list[Token]) -> Value | None:
    reals = found[0].kind == "cmd" and found[0].text in {"bbR", "Reals", "reals"}
    if reals and len(found) == 1:
        return Reals()
    for place, (token, flat) in enumerate(zip(found, _level(found), strict=True)):
        minus = (token.kind == "cmd" and token.text == "setminus") or (reals and place == 1 and token.text == "-")
        if flat and minus:
            return Without(_value(found[:place]), _value(found[place + 1 :]))
    if len(found) == 1 and found[0].kind == "cmd" and found[0].text == "emptyset":
        return NO_SOLUTION
    return None


def _matrix(found: list[Token]) -> Value | None:
    start = next((place for place, token in enumerate(found) if token.kind == "cmd" and token.text == "begin"), -1)
    if start > 0:
        return _multiple(found[:start], _matrix(found[start:]))
    if start < 0:
        return None
    kinds = {"matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "psmallmatrix", "bsmallmatrix", "array"}
    name = found[2].text if len(found) > 2 else ""
    if len(found) < 8 or found[-3].text != "{" or _closes(found, 0) < len(found) - 4:
        raise Unsupported("an environment")
    if name == "cases":
        return _cases(_divided(found[4:-4], frozenset({"\\"}))[0])
    if name not in kinds:
        raise Unsupported("an environment")
    body = found[4:-4]
    if found[2].text == "array" and body and body[0].text == "{":
        body = body[_closes(body, 0) + 1 :]
    rows, _ = _divided(body, frozenset({"\\"}))
    cells = [_divided(row, frozenset({"&"}))[0] for row in rows if row]
    if not cells or len({len(row) for row in cells}) != 1:
        raise Unreadable("rows of different lengths")
    return Matrix(tuple(tuple(map(_value, row)) for row in cells))


def _multiple(factor: list[Token], matrix: Value | None) -> Value:
    """A number times a matrix, cell by cell."""
    if not isinstance(matrix, Matrix):
        raise Unsupported("a product with a matrix")
    node = parse(factor[:-1] if factor[-1].text in {"cdot", "*"} else factor)
    return Matrix(tuple(tuple(_times(node, cell) for cell in row) for row in matrix.rows))


def _times(factor: Node, cell: Value) -> Scalar:
    if not isinstance(cell, Scalar):
        raise Unsupported("a product with a matrix")
    return cell._replace(node=Node("mul", (factor, cell.node)), written=None)


def _cases(rows: list[list[Token]]) -> Value:
    """A system of named values; what depends on conditions has no reading here."""
    values = [_value(row) for row in rows if row]
    if len(values) < 2 or not all(isinstance(value, Named) for value in values):
        raise Undecided("cases")
    return _bag(tuple(values))


def _ratio(found: list[Token]) -> Value | None:
    parts, colons = _divided(found, frozenset({":"}))
    if not colons:
        return None
    return Ratio(tuple(parse(part) for part in parts), False)


def _relation(sides: list[list[Token]], signs: list[str]) -> Value:
    if not sides[0] or not sides[-1]:
        raise Unreadable("an empty side")
    if signs == ["in"]:
        return Named(_label(sides[0]), _value(sides[1]), member=True)
    if set(signs) <= EQUALS:
        return _equality(sides, signs)
    if set(signs) <= {"<", ">", "le", "ge", "ne"}:
        return Comparison(_uncalled(tuple(parse(_dropped(side)) for side in sides)), tuple(signs))
    raise Unsupported("mixed relations")


def _uncalled(sides: tuple[Node, ...]) -> tuple[Node, ...]:
    """The one function value in 1 < g(x) < 2 as a name of its own, if its variable stands nowhere else."""
    calls = {call for side in sides for call in _calls(side)}
    if len(calls) != 1:
        return sides
    call = calls.pop()
    renamed = tuple(
        _replaced(side, call, Node("name", name=f"{call.name} of {sorted(names_in(call))}")) for side in sides
    )
    return sides if any(names_in(call) & names_in(side) for side in renamed) else renamed


def _calls(node: Node) -> list[Node]:
    return [node] if node.op == "call" else [call for inner in node.args for call in _calls(inner)]


def _replaced(node: Node, old: Node, new: Node) -> Node:
    if node == old:
        return new
    return node._replace(args=tuple(_replaced(inner, old, new) for inner in node.args)) if node.args else node


def _equality(sides: list[list[Token]], signs: list[str]) -> Value:
    if signs[-1] == "approx":
        return _equality(sides[:-1], signs[:-1]) if len(sides) > 2 else _approximate(sides)
    first, last = _dropped(sides[0]), sides[-1]
    if _is_label(first):
        return Named(_label(first), _value(last))
    if len(sides) == 2 and _is_label(_dropped(last)):
        return Named(_label(last), _value(first))
    return _equation(first, [_scalar(side) for side in sides])


def _equation(first: list[Token], sides: list[Scalar]) -> Value:
    """Neither end is a name: a statement between numbers, a computation that ends in one, or an equation."""
    if not any(names_in(side.node) for side in sides):
        return Statement(tuple(sides))
    names_a_sum = len(sides) > 2 or _is_sum_of_names(sides[0].node)
    if names_a_sum and not names_in(sides[-1].node):
        return Named(_label(first), sides[-1])
    if len(sides) > 2:
        raise Unsupported("a chain of equations")
    return Equation(sides[0].node, sides[1].node)


def _approximate(sides: list[list[Token]]) -> Value:
    first = _dropped(sides[0])
    return Named(_label(first), _value(sides[1])) if _is_label(first) else _value(sides[0])


def _dropped(found: list[Token]) -> list[Token]:
    r"""Without the signs that only say what is named: \angle, \triangle, and text before a relation."""
    return [
        token for token in found if not (token.kind == "cmd" and token.text in {"angle", "triangle", "measuredangle"})
    ]


def _is_label(found: list[Token]) -> bool:
    """Whether these tokens only name a value: x, f(x), AB, NO/BO, (p, q), 'the area'."""
    if not found:
        return False
    if any(token.kind == "text" for token in found):
        if _DENYING & set(re.findall("[a-z]+", " ".join(token.text for token in found).lower())):
            raise Undecided("words that may deny it")
        return not any(token.kind == "num" for token in found)
    if _bracketed_names(found):
        return True
    try:
        node = parse(found)
    except Unreadable:
        return _mentions_function(found)
    return _is_naming(node)


def _bracketed_names(found: list[Token]) -> bool:
    if found[0].text not in {"(", "["} or _closes(found, 0) != len(found) - 1:
        return False
    parts, _ = _split(found[1:-1])
    return len(parts) > 1 and all(_is_label(part) for part in parts)


def _mentions_function(found: list[Token]) -> bool:
    """P(X=2) and the like: a letter, then brackets to the end."""
    return len(found) > 3 and found[0].kind == "sym" and found[1].text == "(" and _closes(found, 1) == len(found) - 1


def _is_naming(node: Node) -> bool:
    match node.op:
        case "name" | "index" | "call":
            return True
        case "mul":
            return all(map(_is_naming, node.args)) or _is_capital_times_bracket(node)
        case "div":
            return all(_is_naming(inner) and _is_capital(inner) for inner in node.args)
        case "fn":
            return node.name not in {"max", "min"} and all(map(_is_naming, node.args))
        case "const":
            return node.name in {"e", "i"}
    return False


def _is_capital(node: Node) -> bool:
    return all(name[0].isupper() for name in names_in(node))


def _is_capital_times_bracket(node: Node) -> bool:
    """P(1/2) or S(10): a capital letter of something."""
    left, right = node.args
    return left.op == "name" and left.name[0].isupper() and right.op in {"num", "div"} and not names_in(right)


def _is_sum_of_names(node: Node) -> bool:
    """m + n and a + b + c; x + y is left, it is likelier a line."""
    names = _summands(node)
    return len(names) > 1 and all(names) and not set(names) <= {"x", "y", "z"}


def _summands(node: Node) -> list[str]:
    if node.op == "add":
        return [name for inner in node.args for name in _summands(inner)]
    return [node.name if node.op == "name" else ""]


def _label(found: list[Token]) -> Node | str:
    try:
        return parse(_dropped(found))
    except Unreadable:
        return " ".join(token.text for token in found)


def _scalar(found: list[Token]) -> Scalar:
    found, currency = _without_currency(_dropped(found))
    core, suffix = _core(found)
    if not core:
        raise Unreadable("there is no value")
    if compound := _compound(core, suffix):
        return compound
    scale, percent, unit = _suffix(suffix)
    if core[-1].text == "%" and core[-1].kind == "op":
        core, percent = core[:-1], True
    if not core:
        raise Unreadable("there is no value")
    node = parse(core)
    node, degrees = _undegreed(node)
    if degrees:
        unit = _degree_unit(degrees, unit)
    if currency:
        unit = _priced(read_unit(currency), unit)
    node = Node("mul", (node, num(scale))) if scale != 1 else node
    return Scalar(node, unit, percent, None if scale != 1 else _written(core))


def _priced(currency: Unit, unit: Unit | None) -> Unit:
    """$5 is 5 dollars, and $5 per hour is 5 dollars per hour; $5 dollars says it twice."""
    if unit is None or unit.bases == currency.bases:
        return currency
    return product(currency, unit) if unit.known else unit


def _compound(core: list[Token], suffix: list[Token]) -> Scalar | None:
    """5 feet 3 inches: whole numbers with ever smaller units of one kind, as their sum in the first unit."""
    starts = [place for place, token in enumerate(suffix) if token.kind == "num" and suffix[place - 1].kind != "op"]
    if not starts or len(core) != 1 or core[0].kind != "num" or suffix[0].kind == "num":
        return None
    bounds = [0, *starts, len(suffix)]
    pieces = [suffix[start:end] for start, end in pairwise(bounds)]
    numbers = [core[0], *(piece[0] for piece in pieces[1:])]
    names = [pieces[0], *(piece[1:] for piece in pieces[1:])]
    return _summed([Scalar(parse([token]), _suffix(name)[2]) for token, name in zip(numbers, names, strict=True)])


def _summed(parts: Sequence[Value]) -> Scalar | None:
    """One quantity of parts in ever smaller known units of one kind, whole but for the last."""
    units = [part.unit for part in parts if isinstance(part, Scalar) and part.unit is not None and part.unit.known]
    values = [part.node.value for part in parts if isinstance(part, Scalar) and part.node.op == "num"]
    if len(units) != len(parts) or len(values) != len(parts) or len({unit.bases for unit in units}) != 1:
        return None
    if not units[0].bases or any(one.factor <= other.factor for one, other in pairwise(units)):
        return None
    if any(value.denominator > 1 for value in values[:-1]):
        return None
    total = sum((value * unit.factor for value, unit in zip(values, units, strict=True)), Fraction(0))
    return Scalar(num(total / units[0].factor), units[0])


def _without_currency(found: list[Token]) -> tuple[list[Token], str]:
    for place, token in enumerate(found):
        if (token.kind == "cmd" and token.text in CURRENCY) or token.text == "$":
            return found[:place] + found[place + 1 :], CURRENCY[token.text]
    if len(found) > 1 and found[0].text in _CURRENCY_CODES and found[1].kind == "num":
        return found[1:], found[0].text
    return found, ""


def _core(found: list[Token]) -> tuple[list[Token], list[Token]]:
    """The expression, and the tokens of its unit or words."""
    if len(found) > 1 and found[-1] == Token("cmd", "min", found[-1].glued):
        found = [*found[:-1], Token("word", "min", found[-1].glued)]
    first = next((place for place, token in enumerate(found) if _is_valued(token)), len(found))
    tail = len(found)
    while tail and _may_follow(found[tail - 1]):
        tail -= 1
    for place in range(max(first + 1, tail), len(found)):
        if _begins_unit(found, place):
            return _trimmed(found[:place]), found[place:]
    return found, []


def _is_valued(token: Token) -> bool:
    return token.kind in {"num", "sym"} or token.text in {")", "}", "pi"}


def _trimmed(core: list[Token]) -> list[Token]:
    """Without the brackets or braces that open round a unit: 9 (apples), 8{cm}; without a dash in 5-inch."""
    while core and core[-1].text in {"(", "{", "[", "-", "/", "*"} | {"cdot", "times"}:
        core = core[:-1]
    return core


def _begins_unit(found: list[Token], place: int) -> bool:
    token = found[place]
    if token.kind == "text":
        before = found[place - 2 : place] if found[place - 1].text == "{" and place > 1 else found[place - 1 : place]
        return before[0].text not in {"_", "^"}
    if token.kind == "word" and found[place - 1].text not in {"_", "^", "+"}:
        if token.text == "in":
            return not token.glued and (place == len(found) - 1 or found[place + 1].kind in {"word", "text"})
        return token.text.lower() in PLAIN | PERCENT | SCALES.keys() | {"sq", "cu", "per"} or (
            len(token.text) > 3 and not _is_product(token.text) and token.text not in NAMED
        )
    return False


def _may_follow(token: Token) -> bool:
    return token.kind in {"text", "word", "sym", "num"} or token.text in {
        "^", "{", "}", "/", "*", "cdot", "times", "(", ")", "-", "%", ".", "'", "[", "]", "circ", ",", "&",
    }  # fmt: skip


def _suffix(suffix: list[Token]) -> tuple[int, bool, Unit | None]:
    """(scale, percent, unit) of the tokens after an expression."""
    text = " ".join({"cdot": "*", "times": "*"}.get(token.text, token.text) for token in suffix)
    scale, percent = 1, False
    words = text.split()
    while words and words[0].lower().strip(".,") in SCALES:
        scale *= SCALES[words.pop(0).lower().strip(".,")]
    if words and (words[0].lower().strip(".,") in PERCENT or words[0] == "%"):
        percent, words = True, words[1:]
        if len(words) == 1 and words[0].lower() in {"point", "points"}:
            words = []
    rest = " ".join(words).strip(" (){}[].,")
    return scale, percent, _unit_of(" ".join(words)) if rest else None


def _unit_of(text: str) -> Unit:
    """The unit or the words after a number; raises `Undecided` for words that may change what the number says."""
    unit = read_unit(text)
    if not unit.known and (_CHANGING & set(re.findall(r"[a-z]+", text.lower())) or _LOOSE.search(text)):
        raise Undecided("words that may change the number")
    return unit


def _undegreed(node: Node) -> tuple[Node, str]:
    """An expression without its degree sign, and which degrees they are (empty for none)."""
    match node:
        case Node("degree", (inner,)):
            return inner, "degree"
        case Node("mul", (Node("degree", (inner,)), Node("name", (), "C" | "F" as letter))):
            return inner, {"C": "celsius", "F": "fahrenheit"}[letter]
        case Node("neg", (inner,)):
            bare, degrees = _undegreed(inner)
            return Node("neg", (bare,)), degrees
    return node, ""


def _degree_unit(degrees: str, unit: Unit | None) -> Unit | None:
    if unit is None:
        return read_unit(degrees)
    return _TEMPERATURES.get(unit, unit)


def _written(core: list[Token]) -> Decimal | None:
    """How a lone decimal was written; None for anything else."""
    bare = [token for token in core if token.text not in {"-", "+", "(", ")", "{", "}"}]
    if len(bare) != 1 or bare[0].kind != "num" or "." not in bare[0].text:
        return None
    mantissa, _, exponent = bare[0].text.lower().partition("e")
    places = len(mantissa.partition(".")[2]) - int(exponent or 0)
    digits = len(mantissa.replace(".", "").lstrip("0"))
    number(bare[0].text)
    return Decimal(digits, Fraction(1, 2) / Fraction(10) ** places)

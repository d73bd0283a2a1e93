"""Compare two values that were read: what is a tuple as a tuple, a set as a set, a number as a number.

`same` is symmetric. It returns True or False where it can decide and raises `Unsupported` where it cannot. What two
graders may see differently is asked of the `Switches`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from redink.answers.expressions import Node, names_in, num
from redink.answers.latex import Undecided, Unreadable, Unsupported
from redink.answers.reading import (
    Bag,
    Based,
    Choice,
    Comparison,
    Ellipsis,
    Equation,
    Matrix,
    Named,
    Ratio,
    Reals,
    Scalar,
    Statement,
    Tuple,
    Union,
    Value,
    Without,
    Words,
    has_sign,
    read,
    with_free_signs,
    with_signs,
)
from redink.answers.regions import FLIPPED, region, same_region, variable
from redink.answers.switches import Switches
from redink.answers.units import UNIT_LETTERS, Unit, read_unit
from redink.answers.values import Undefined, Worth, evaluate, is_constant, ratio, same_value

PRINTED_FLOAT_DIGITS = 15
PRINTED_FLOAT_TOLERANCE = Fraction(1, 10**9)
PROSE = 4
"""From so many words on, two texts that differ may still say the same: undecided."""
HOUR, HALF_A_DAY = 60, 720
_SETS = (Tuple, Union, Without, Reals, Bag)


class Comparer(NamedTuple):
    """Compares values under one set of switches."""

    switches: Switches

    def same(self, one: Value, other: Value) -> bool:
        """Whether two values are the same answer; raises `Unsupported` (also `Undecided`) or `TooLarge`."""
        for named, rest in ((one, other), (other, one)):
            if isinstance(named, Named) and not isinstance(rest, Named | Equation | Comparison):
                return self._unnamed(named.value, rest)
        found = self._special(one, other)
        return found if found is not None else self._general(one, other)

    def _special(self, one: Value, other: Value) -> bool | None:  # noqa: PLR0911  (one line per kind)
        """Kinds that are only like their own kind, or like a letter or a number; None for the others."""
        match one, other:
            case (Statement(), _) | (_, Statement()):
                return self._statement(one, other)
            case (Choice(), _) | (_, Choice()):
                return self._choices(one, other)
            case (Words(), _) | (_, Words()):
                return self._words(one, other)
            case (Based(), _) | (_, Based()):
                return self._based(one, other)
            case (Ratio(), _) | (_, Ratio()):
                return self._ratios(one, other)
            case (Ellipsis(), _) | (_, Ellipsis()):
                return one == other
            case (Matrix(rows), Matrix(columns)):
                return self._matrices(rows, columns)
            case (Matrix() as matrix, Tuple() as listed) | (Tuple() as listed, Matrix() as matrix):
                return self._matrix_in_brackets(matrix, listed)
            case (Matrix(), _) | (_, Matrix()):
                return False
        return None

    def _choices(self, one: Value, other: Value) -> bool:
        """By letter; an option beside a value by the option's text: (C) 12 answers 12."""
        letters = _letter(one), _letter(other)
        if None not in letters:
            return letters[0] == letters[1]
        choice, rest = (one, other) if isinstance(one, Choice) else (other, one)
        return isinstance(choice, Choice) and bool(choice.option) and self.same(read(choice.option), rest)

    def _matrix_in_brackets(self, matrix: Matrix, listed: Tuple) -> bool:
        """[[1, 2], [3, 4]] is a matrix; a tuple beside a single column or row may be meant as it."""
        rows = tuple(item.items for item in listed.items if isinstance(item, Tuple))
        if len(rows) == len(listed.items) and len({len(row) for row in rows}) == 1:
            return self._matrices(matrix.rows, rows)
        if 1 not in (len(matrix.rows), len(matrix.rows[0])):
            return False
        if self._in_order(tuple(cell for row in matrix.rows for cell in row), listed.items):
            raise Undecided("a tuple beside a matrix")
        return False

    def _general(self, one: Value, other: Value) -> bool:
        match one, other:
            case (Equation(), _) | (_, Equation()):
                return self._equations(one, other)
            case (Comparison(), _) | (_, Comparison()):
                return self._comparisons(one, other)
            case Named(), Named():
                return self._named(one, other)
            case Scalar(), Scalar():
                return self.same_scalar(one, other)
        return self._collections(one, other)

    def _statement(self, one: Value, other: Value) -> bool:
        """2 + 2 = 4 answers 4; a false statement answers nothing unless the switch says so."""
        sides = [value.sides if isinstance(value, Statement) else (value,) for value in (one, other)]
        for value in (one, other):
            if isinstance(value, Statement) and not self.switches.false_statement and not self._holds(value):
                return False
        return self.same(sides[0][-1], sides[1][-1])

    def _holds(self, statement: Statement) -> bool:
        return all(self.same_scalar(statement.sides[0], side) for side in statement.sides[1:])

    def _words(self, one: Value, other: Value) -> bool:
        if isinstance(one, Words) and isinstance(other, Words):
            if one == other:
                return True
            if max(len(one.text.split()), len(other.text.split())) >= PROSE:
                raise Undecided("two texts that differ")
            if sorted(one.text.split()) == sorted(other.text.split()):
                raise Undecided("words in another order")
            return False
        words, rest = (one, other) if isinstance(one, Words) else (other, one)
        assert isinstance(words, Words)
        if _is_empty(words, rest):
            return True
        if words.counts is not None:
            return self._counts(words.counts, rest)
        if len(words.text.split()) >= PROSE:
            raise Undecided("a text beside a value")
        return False

    def _counts(self, count: Scalar, rest: Value) -> bool:
        """Five apples are 5 apples; beside 5 alone they may be a number or a thing, as two lines are."""
        if not self.same(count, rest):
            return False
        if isinstance(rest, Scalar) and rest.unit is None:
            raise Undecided("a number in words that counts something")
        return True

    def _based(self, one: Value, other: Value) -> bool:
        if isinstance(one, Based) and isinstance(other, Based):
            return one == other
        based, rest = (one, other) if isinstance(one, Based) else (other, one)
        if self.switches.base_subscripts == "required" or not isinstance(rest, Scalar) or not isinstance(based, Based):
            return False
        if rest.unit or rest.percent or rest.node.op not in {"num", "neg"} or not based.digits.lstrip("-").isdigit():
            return False
        return same_value(num(Fraction(based.digits)), rest.node)

    def _ratios(self, one: Value, other: Value) -> bool:  # noqa: PLR0911  (one line per kind)
        if isinstance(one, Ratio) and isinstance(other, Ratio):
            if one.clock and other.clock:
                return _same_time(one, other)
            if one.half or other.half or not _proportional(one.parts, other.parts):
                return False
            if one.clock or other.clock:
                raise Undecided("a time or a ratio")
            return True
        first, rest = (one, other) if isinstance(one, Ratio) else (other, one)
        assert isinstance(first, Ratio)
        if isinstance(rest, Tuple):
            raise Undecided("a range or a ratio")
        if not isinstance(rest, Scalar) or len(first.parts) != 2 or rest.unit or rest.percent:
            return False
        if first.half:
            return first.parts[1].value == 0 and same_value(first.parts[0], rest.node)
        if first.clock:
            return False
        written_as_parts = rest.node.op == "div" or rest.written is not None
        return written_as_parts and same_value(Node("div", first.parts), rest.node)

    def _matrices(self, rows: tuple[tuple[Value, ...], ...], others: tuple[tuple[Value, ...], ...]) -> bool:
        if (len(rows), len(rows[0])) != (len(others), len(others[0])):
            return False
        return all(self._in_order(row, other) for row, other in zip(rows, others, strict=True))

    def _in_order(self, items: tuple[Value, ...], others: tuple[Value, ...]) -> bool:
        return len(items) == len(others) and all(map(self.same, items, others))

    def _equations(self, one: Value, other: Value) -> bool:
        """Two equations are the same if one is the other times a constant."""
        first, second = _as_difference(one), _as_difference(other)
        if first is None or second is None:
            return False
        return ratio(first, second) is not None

    def _comparisons(self, one: Value, other: Value) -> bool:
        if isinstance(one, Comparison) and isinstance(other, Comparison):
            if variable(one) != variable(other):
                return False
            if variable(one) is None:
                return _same_inequality(one, other)
        elif not self.switches.inequality_as_interval or isinstance(one, Scalar) or isinstance(other, Scalar):
            return False
        try:
            return self._regions(one, other)
        except Unsupported:
            if _same_links(one, other):
                return True
            raise

    def _regions(self, one: Value, other: Value) -> bool:
        names = {variable(one), variable(other)} - {None}
        if len(names) > 1:
            return False
        first, second = region(one), region(other)
        if first is None or second is None:
            return False
        return same_region(first, second, self._same_end)

    def _same_end(self, one: Scalar, other: Scalar) -> bool:
        return self.same_scalar(one, other)

    def _named(self, one: Value, other: Value) -> bool:
        assert isinstance(one, Named) and isinstance(other, Named)
        if one.member != other.member and not self.switches.inequality_as_interval:
            return False
        if _same_name(one.name, other.name):
            return self.same(*_same_argument(one, other)) or self._equal_as_equations(one, other)
        if all(_is_letter(name) or _is_function(name) for name in (one.name, other.name)):
            return self._equal_as_equations(one, other)
        if (order := _other_order(one.name, other.name)) and isinstance(other.value, Tuple):
            return self.same(one.value, other.value._replace(items=tuple(other.value.items[place] for place in order)))
        if not self.same(*_same_argument(one, other)):
            return False
        if _names_something_else(one.name, other.name):
            raise Undecided("the same value of something else")
        return True

    def _equal_as_equations(self, one: Named, other: Named) -> bool:
        first, second = _as_difference(one), _as_difference(other)
        return first is not None and second is not None and ratio(first, second) is not None

    def _unnamed(self, value: Value, rest: Value) -> bool:
        if isinstance(rest, Union) and not self.switches.inequality_as_interval:
            return False
        return self.same(value, rest)

    def _collections(self, one: Value, other: Value) -> bool:  # noqa: PLR0911  (one line per kind)
        match one, other:
            case Tuple(left, right, items), Tuple(left_too, right_too, others):
                return (left, right) == (left_too, right_too) and self._in_order(items, others)
            case Bag(), Bag():
                return self._bags(one, other)
            case (Bag(items, braces), Tuple(left, right, others)) | (Tuple(left, right, others), Bag(items, braces)):
                return not braces and self.switches.list_as_tuple and (left, right) == ("(", ")") and (
                    self._in_order(tuple(map(_bare, items)), others)
                )  # fmt: skip
            case (Bag((item,)), Scalar() as scalar) | (Scalar() as scalar, Bag((item,))):
                return self.same(item, scalar)
            case (Bag(), Scalar() as scalar) | (Scalar() as scalar, Bag()):
                return self._written_out(one if isinstance(one, Bag) else other, scalar)
            case (Scalar(), _) | (_, Scalar()):
                return False
        return self._regions(one, other) if isinstance(one, _SETS) and isinstance(other, _SETS) else False

    def _written_out(self, bag: Value, scalar: Scalar) -> bool:
        both = tuple(with_signs(scalar))
        if len(both) < 2 or not isinstance(bag, Bag):
            return False
        free = tuple(with_free_signs(scalar))
        return _agreed([self._bags(bag, Bag(items, bag.braces)) for items in (both, free) if items])

    def _bags(self, one: Value, other: Value) -> bool:
        assert isinstance(one, Bag) and isinstance(other, Bag)
        items, others = _distributed(one.items), _distributed(other.items)
        if one.braces or other.braces:
            items, others = self._distinct(items), self._distinct(others)
        if len(items) != len(others):
            return False
        names, other_names = _names(items), _names(others)
        if bool(names) != bool(other_names):
            return self._in_order(tuple(map(_bare, items)), tuple(map(_bare, others)))
        if any(isinstance(item, Ellipsis) for item in (*items, *others)):
            return self._in_order(items, others)
        if any(isinstance(item, Words) for item in (*items, *others)) and not self._in_order(items, others):
            if self._matched(list(items), list(others)):
                raise Undecided("words in another order")
            return False
        return self._matched(list(items), list(others))

    def _distinct(self, items: tuple[Value, ...]) -> tuple[Value, ...]:
        kept: list[Value] = []
        for item in items:
            if not any(self.same(item, one) for one in kept):
                kept.append(item)
        return tuple(kept)

    def _matched(self, items: list[Value], others: list[Value]) -> bool:
        """Whether each item has a partner of its own among the others."""
        undecided: Unsupported | None = None
        for item in items:
            for place, other in enumerate(others):
                try:
                    if self.same(item, other):
                        del others[place]
                        break
                except Undecided as failure:
                    undecided = failure
            else:
                if undecided is not None:
                    raise undecided
                return False
        return True

    def same_scalar(self, one: Scalar, other: Scalar) -> bool:
        """Whether two expressions with units and percent signs are the same quantity."""
        if has_sign(one.node) != has_sign(other.node):
            return False
        if _is_arrowed(one.node) != _is_arrowed(other.node):
            return self._beside_vectors(one, other)
        return self._same_quantity(one, other)

    def _same_quantity(self, one: Scalar, other: Scalar) -> bool:
        one, other = _with_letter_unit(one, other), _with_letter_unit(other, one)
        one, other = _with_letter_units(one, other)
        try:
            scale = self._scale(one.unit, other.unit)
        except Undecided:
            if self.same_scalar(one._replace(unit=None), other._replace(unit=None)):
                raise
            return False
        if scale is None:
            return self.switches.degrees_as_radians and self._angles(one, other)
        left = one if scale == 1 else one._replace(node=Node("mul", (one.node, num(scale))), written=None)
        if one.percent == other.percent:
            return self._same_number(left, other)
        if (one.unit or other.unit) and self.switches.units != "ignored":
            return False
        return self._percent(left, other)

    def _beside_vectors(self, one: Scalar, other: Scalar) -> bool:
        """v beside an arrow over v may be the same letter, or the length."""
        if self.same_scalar(one._replace(node=_unarrowed(one.node)), other._replace(node=_unarrowed(other.node))):
            raise Undecided("a vector beside a letter")
        return False

    def _scale(self, one: Unit | None, other: Unit | None) -> Fraction | None:
        """The factor that turns the first unit into the second; None if they do not measure the same."""
        if self.switches.units == "ignored":
            return Fraction(1)
        if one is None or other is None:
            missing = one is not other
            return None if missing and self.switches.units == "required" else Fraction(1)
        if one.known and other.known:
            return one.factor / other.factor if one.bases == other.bases else None
        if not (one.known or other.known) and (one.words <= other.words or other.words <= one.words):
            return Fraction(1)
        if one.known or other.known:
            return None
        raise Undecided("words beside the numbers differ")

    def _angles(self, one: Scalar, other: Scalar) -> bool:
        degrees = (("degree", 1),)
        if one.unit is not None and other.unit is not None and one.unit.bases == other.unit.bases:
            return False
        sides = [
            Node("degree", (side.node,)) if side.unit is not None and side.unit.bases == degrees else side.node
            for side in (one, other)
        ]
        return same_value(*sides)

    def _percent(self, one: Scalar, other: Scalar) -> bool:
        if self.switches.percent == "strict":
            return False
        percent, plain = (one, other) if one.percent else (other, one)
        written = percent.written._replace(half=percent.written.half / 100) if percent.written else None
        shrunk = Scalar(Node("div", (percent.node, num(100))), written=written)
        if self._same_number(shrunk, plain):
            return True
        return self.switches.percent == "either" and self._same_number(percent, plain)

    def _same_number(self, one: Scalar, other: Scalar) -> bool:
        if has_sign(one.node):
            return self._with_signs(one, other)
        if same_value(one.node, other.node):
            return True
        if self.switches.degrees_as_radians and (one.unit is None) != (other.unit is None) and self._angles(one, other):
            return True
        if one.written is None and other.written is None:
            return False
        return self._near(one, other)

    def _with_signs(self, one: Scalar, other: Scalar) -> bool:
        """As the values they stand for; where several signs may or may not go together, both readings must agree."""
        free = [with_free_signs(side) for side in (one, other)]
        tied = self._bags(_spread(one), _spread(other))
        if not any(free):
            return tied
        loose = [Bag(tuple(ways or with_signs(side)), True) for ways, side in zip(free, (one, other), strict=True)]
        return _agreed([tied, self._bags(*loose)])

    def _near(self, one: Scalar, other: Scalar) -> bool:
        """Whether a decimal is the other number as printed by a machine, or rounded, or within the tolerance."""
        if not (is_constant(one.node) and is_constant(other.node)):
            return False
        try:
            first, second = evaluate((one.node, other.node), {})
        except Undefined:
            return False
        if _is_within(first, second, self._tolerance(one, other)):
            return True
        return self._rounds(one, other, first, second) or self._rounds(other, one, second, first)

    def _tolerance(self, one: Scalar, other: Scalar) -> Fraction:
        tolerance = Fraction(self.switches.relative_tolerance)
        printed = any(side.written and side.written.digits >= PRINTED_FLOAT_DIGITS for side in (one, other))
        return max(tolerance, PRINTED_FLOAT_TOLERANCE) if printed else tolerance

    def _rounds(self, decimal: Scalar, exact: Scalar, value: Worth, target: Worth) -> bool:
        """Whether a decimal of enough digits is what the other number, no short decimal and not whole, rounds to."""
        least = self.switches.rounding_digits
        if not least or decimal.written is None or decimal.written.digits < least:
            return False
        if exact.written is not None and exact.written.digits < PRINTED_FLOAT_DIGITS:
            return False
        if isinstance(target.value, Fraction) and target.value.denominator == 1:
            return False
        return _is_within_absolute(value, target, decimal.written.half)


def _agreed(readings: list[bool]) -> bool:
    if len(set(readings)) > 1:
        raise Undecided("plus-minus signs that may go together or not")
    return readings[0]


def _with_letter_unit(scalar: Scalar, other: Scalar) -> Scalar:
    """5 m beside 500 cm: letters that could be a unit are one where the other side has a unit."""
    if scalar.unit is not None or other.unit is None or not names_in(scalar.node) or names_in(other.node):
        return scalar
    found = _letter_unit(scalar.node)
    return scalar if found is None else Scalar(found[0], read_unit(found[1]))


def _with_letter_units(one: Scalar, other: Scalar) -> tuple[Scalar, Scalar]:
    """2.5 kN beside 2500 N: different letters after numbers on both sides, if they are units of one kind."""
    if one.unit is not None or other.unit is not None or names_in(one.node) == names_in(other.node):
        return one, other
    first, second = _letter_unit(one.node), _letter_unit(other.node)
    if first is None or second is None:
        return one, other
    units = read_unit(first[1]), read_unit(second[1])
    if not (units[0].known and units[1].known) or units[0].bases != units[1].bases:
        return one, other
    return Scalar(first[0], units[0]), Scalar(second[0], units[1])


def _letter_unit(node: Node) -> tuple[Node, str] | None:
    """(the number, the unit) of an expression such as 5 m, 5 kN or 5 m/s."""
    match node:
        case Node("mul", (Node("mul", (left, Node("name", (), prefix))), Node("name", (), name))) if not names_in(left):
            symbol = {"mu": "µ"}.get(prefix, prefix) + ("Ω" if name == "Omega" else name)
            return (left, symbol) if len(symbol) == 2 and read_unit(symbol).known else None
        case Node("mul", (left, Node("name", (), name))) if name in UNIT_LETTERS and not names_in(left):
            return left, name
        case Node("mul", (left, Node("pow", (Node("name", (), name), Node("num") as power)))) if (
            name in UNIT_LETTERS and not names_in(left) and power.value in {2, 3}
        ):
            return left, f"{name}^{power.value}"
        case Node("div", (left, Node("name", (), name))) if name in UNIT_LETTERS:
            above = _letter_unit(left)
            return None if above is None else (above[0], f"{above[1]}/{name}")
    return None


def _is_arrowed(node: Node) -> bool:
    return any(name.startswith("vec ") for name in names_in(node))


def _unarrowed(node: Node) -> Node:
    args = tuple(map(_unarrowed, node.args))
    return node._replace(args=args, name=node.name.removeprefix("vec "))


def _is_within(one: Worth, other: Worth, tolerance: Fraction) -> bool:
    if not tolerance:
        return False
    left, right = _number(one), _number(other)
    return bool(abs(left - right) <= _as(tolerance, one, other) * max(abs(left), abs(right)))


def _is_within_absolute(one: Worth, other: Worth, half: Fraction) -> bool:
    left, right = _number(one), _number(other)
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return abs(left - right) <= half
    return bool(abs(one.value - other.value) <= _as(half, one, other))


def _number(worth: Worth) -> Fraction:
    value = worth.value
    return value  # type: ignore[no-any-return]


def _as(limit: Fraction, one: Worth, other: Worth) -> Fraction:
    """The limit as the kind of number that the two values are."""
    if isinstance(one.value, Fraction) and isinstance(other.value, Fraction):
        return limit
    number = one.value if not isinstance(one.value, Fraction) else other.value
    return number.context.mpf(limit.numerator) / limit.denominator  # type: ignore[no-any-return]


def _letter(value: Value) -> str | None:
    match value:
        case Choice(letter):
            return letter
        case Scalar(Node("name", (), name), None, False) if len(name) == 1:
            return name.upper() if name.isupper() else None
    return None


def _is_empty(words: Words, rest: Value) -> bool:
    return words.text == "no solution" and isinstance(rest, Union | Without | Comparison) and region(rest) == ()


def _same_time(one: Ratio, other: Ratio) -> bool:
    """Times of day; without am or pm on one side, either that half or the hours up to 24. May be ratios: undecided."""
    first, second = _minutes(one), _minutes(other)
    if bool(one.half) != bool(other.half):
        plain, halved = (first, second) if other.half else (second, first)
        return plain in {halved, halved % HALF_A_DAY, halved % HALF_A_DAY + HALF_A_DAY * (halved % HALF_A_DAY < HOUR)}
    if first != second and not one.half and _proportional(one.parts, other.parts):
        raise Undecided("times or ratios")
    return first == second


def _minutes(time: Ratio) -> Fraction:
    """Since midnight, of a time as it is written (12 pm is noon)."""
    hours, *rest = (part.value for part in time.parts)
    if time.half:
        hours = hours % 12 + (12 if time.half == "p" else 0)
    return hours * HOUR + sum((value / 60**place for place, value in enumerate(rest)), Fraction(0))


def _proportional(parts: tuple[Node, ...], others: tuple[Node, ...]) -> bool:
    if len(parts) != len(others):
        return False
    first, other = parts[0], others[0]
    return all(
        same_value(Node("mul", (part, other)), Node("mul", (partner, first)))
        for part, partner in zip(parts[1:], others[1:], strict=True)
    )


def _as_difference(value: Value) -> Node | None:
    match value:
        case Equation(left, right):
            return Node("add", (left, Node("neg", (right,))))
        case Named(Node() as name, Scalar(node, None, False)):
            return Node("add", (name, Node("neg", (node,))))
    return None


def _same_inequality(one: Comparison, other: Comparison) -> bool:
    """Inequalities of one link in several variables: the same up to a constant factor."""
    if len(one.signs) != 1 or len(other.signs) != 1:
        return _same_links(one, other)
    factor = ratio(*(Node("add", (side.sides[0], Node("neg", (side.sides[1],)))) for side in (one, other)))
    if factor is None:
        return False
    return one.signs[0] == (other.signs[0] if factor > 0 else FLIPPED[other.signs[0]])


def _same_links(one: Value, other: Value) -> bool:
    """Inequalities that cannot be solved here, but are written alike."""
    if not isinstance(one, Comparison) or not isinstance(other, Comparison) or one.signs != other.signs:
        return False
    return all(map(same_value, one.sides, other.sides))


def _same_name(one: Node | str, other: Node | str) -> bool:
    if isinstance(one, Node) and isinstance(other, Node):
        if one.op == other.op == "call":
            return one.name == other.name and len(one.args) == len(other.args) and _may_rename(one.args, other.args)
        try:
            return names_in(one) == names_in(other) and same_value(one, other)
        except Unreadable:
            return False
    return one == other


def _may_rename(args: tuple[Node, ...], others: tuple[Node, ...]) -> bool:
    """f(x) and f(t), but not f(2) and f(3), nor P(A) and P(B)."""
    if args == others:
        return True
    return all(arg.op == "name" and arg.name[0].islower() for arg in (*args, *others))


def _is_function(name: Node | str) -> bool:
    return isinstance(name, Node) and name.op == "fn"


def _other_order(one: Node | str, other: Node | str) -> list[int] | None:
    """Where the names of (x, y) stand in (y, x); None if these are not the same names between brackets."""
    if not isinstance(one, str) or not isinstance(other, str) or one == other:
        return None
    names, others = (name.strip("()[] ").split(" , ") for name in (one, other))
    if len(set(names)) != len(names) or set(names) != set(others) or len(names) < 2:
        return None
    return [others.index(name) for name in names]


def _names_something_else(one: Node | str, other: Node | str) -> bool:
    """AB and CD, P(A) and P(B), 'area' and 'perimeter'; f(x) and g(x) may be the same under two names."""
    if isinstance(one, Node) and isinstance(other, Node):
        return one.op == other.op and not (one.op == "call" and one.name != other.name)
    return isinstance(one, str) and isinstance(other, str) and not ("(" in one and "(" in other)


def _is_letter(name: Node | str) -> bool:
    return isinstance(name, Node) and name.op in {"name", "index"}


def _same_argument(one: Named, other: Named) -> tuple[Value, Value]:
    """f(x) = x^2 and f(t) = t^2: the second with the argument of the first."""
    mine, theirs = _argument(one.name), _argument(other.name)
    if mine is None or theirs is None or mine == theirs or not isinstance(other.value, Scalar):
        return one.value, other.value
    if mine in names_in(other.value.node):
        return one.value, other.value
    return one.value, other.value._replace(node=_renamed(other.value.node, theirs, mine))


def _argument(name: Node | str) -> str | None:
    if isinstance(name, Node) and name.op == "call" and len(name.args) == 1 and name.args[0].op == "name":
        return name.args[0].name
    return None


def _renamed(node: Node, old: str, new: str) -> Node:
    if node.op == "name" and node.name == old:
        return Node("name", name=new)
    return node._replace(args=tuple(_renamed(inner, old, new) for inner in node.args)) if node.args else node


def _bare(value: Value) -> Value:
    return value.value if isinstance(value, Named) else value


def _distributed(items: tuple[Value, ...]) -> tuple[Value, ...]:
    """a = 4, -8, -10 among a list: the name of a first item alone is for all."""
    named = [item for item in items if isinstance(item, Named)]
    return tuple(map(_bare, items)) if len(named) == 1 and named[0] is items[0] else items


def _names(items: tuple[Value, ...]) -> tuple[Node | str, ...]:
    """The names of items that all have one, and not the same."""
    names = tuple(item.name for item in items if isinstance(item, Named))
    return names if len(names) == len(items) and len(set(names)) > 1 else ()


def _spread(scalar: Scalar) -> Bag:
    return Bag(tuple(with_signs(scalar)), False)

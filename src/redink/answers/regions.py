"""Sets of real numbers: intervals and their unions, inequalities in one variable solved, compared end by end.

An end is an expression without variables (or plus or minus infinity). Inequalities are solved where they are linear
or quadratic in the variable, or in one absolute value of it; others raise `Unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cmp_to_key
from typing import NamedTuple

from redink.answers.expressions import Node, names_in, num
from redink.answers.latex import Unsupported
from redink.answers.reading import Bag, Comparison, Named, Reals, Scalar, Tuple, Union, Value, Without, Words
from redink.answers.values import Worth, equal, evaluate, real_values

INFINITY = Node("const", name="infty")
MINUS_INFINITY = Node("neg", (INFINITY,))
FLIPPED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "ne": "ne", "=": "="}
_FRESH = "the absolute value"


class End(NamedTuple):
    """An end of an interval, as written and as a number."""

    scalar: Scalar
    worth: Worth


class Piece(NamedTuple):
    """An interval; a single number is closed at both its equal ends."""

    low: End
    low_in: bool
    high: End
    high_in: bool


Region = tuple[Piece, ...]


def region(value: Value) -> Region | None:
    """The set of reals that a value stands for, as disjoint pieces in order; None if it stands for none.

    Raises `Unsupported` for an inequality that cannot be solved here.
    """
    pieces = _pieces(value)
    return None if pieces is None else _merged(pieces)


def variable(value: Value) -> str | None:
    """The one variable that an inequality, or inequalities joined, speak of; None if there is none or more."""
    names = _variables(value)
    return min(names) if len(names) == 1 else None


def _variables(value: Value) -> frozenset[str]:
    if isinstance(value, Comparison):
        return frozenset[str]().union(*map(names_in, value.sides))
    if isinstance(value, Union):
        return frozenset[str]().union(*map(_variables, value.parts))
    if isinstance(value, Named):
        return names_in(value.name) if isinstance(value.name, Node) else frozenset({value.name})
    return frozenset()


def _pieces(value: Value) -> list[Piece] | None:  # noqa: PLR0911  (one line per kind)
    match value:
        case Reals():
            return [_piece(MINUS_INFINITY, False, INFINITY, False)]
        case Words("no solution"):
            return []
        case Tuple(left, right, (Scalar() as low, Scalar() as high)):
            return _interval(left, low, high, right)
        case Bag(items):
            return _points(items)
        case Union(parts, meet):
            return _joined([_pieces(part) for part in parts], meet)
        case Without(whole, removed):
            return _difference(whole, removed)
        case Comparison():
            return solve(value)
        case Named(_, inner, True):
            return _pieces(inner)
        case Named(_, Scalar() as inner):
            return _points((inner,))
    return None


def _end(scalar: Scalar | Node) -> End:
    if isinstance(scalar, Node):
        scalar = Scalar(scalar)
    found = real_values([scalar.node])
    if found is None:
        raise Unsupported("an end that is no number")
    return End(scalar, found[0])


def _piece(low: Scalar | Node, low_in: bool, high: Scalar | Node, high_in: bool) -> Piece:
    return Piece(_end(low), low_in, _end(high), high_in)


def _interval(left: str, low: Scalar, high: Scalar, right: str) -> list[Piece] | None:
    if names_in(low.node) or names_in(high.node):
        return None
    piece = _piece(low, left == "[", high, right == "]")
    order = _compare(piece.low, piece.high)
    return [piece] if order < 0 or (order == 0 and left == "[" and right == "]") else None


def _points(items: Sequence[Value]) -> list[Piece] | None:
    pieces = []
    for item in items:
        inner = item.value if isinstance(item, Named) else item
        if not isinstance(inner, Scalar) or names_in(inner.node):
            return None
        pieces.append(_piece(inner, True, inner, True))
    return pieces


def _joined(parts: list[list[Piece] | None], meet: bool) -> list[Piece] | None:
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    if not meet:
        return [piece for part in known for piece in part]
    common = known[0]
    for part in known[1:]:
        common = _intersection(common, part)
    return common


def _difference(whole: Value, removed: Value) -> list[Piece] | None:
    kept, gone = _pieces(whole), _pieces(removed)
    if kept is None or gone is None:
        return None
    return _intersection(kept, _complement(_merged(gone)))


def _compare(one: End, other: End) -> int:
    """-1, 0 or 1; both ends are evaluated together, so that equal numbers are found equal."""
    first, second = evaluate((one.scalar.node, other.scalar.node), {})
    if equal(_real(first), _real(second)):
        return 0
    return -1 if _real(first).value < _real(second).value else 1


def _real(worth: Worth) -> Worth:
    return worth if isinstance(worth.value, Fraction) else Worth(worth.value.real, worth.error)


def _merged(pieces: list[Piece]) -> Region:
    """The pieces in order, those that touch or overlap joined."""
    done: list[Piece] = []
    for piece in sorted(pieces, key=cmp_to_key(_by_low)):
        if done and _touch(done[-1], piece):
            done[-1] = _hull(done[-1], piece)
        else:
            done.append(piece)
    return tuple(done)


def _by_low(one: Piece, other: Piece) -> int:
    return _compare(one.low, other.low) or int(other.low_in) - int(one.low_in)


def _touch(before: Piece, after: Piece) -> bool:
    order = _compare(after.low, before.high)
    return order < 0 or (order == 0 and (after.low_in or before.high_in))


def _hull(before: Piece, after: Piece) -> Piece:
    order = _compare(before.high, after.high)
    if order == 0:
        return before._replace(high_in=before.high_in or after.high_in)
    return before if order > 0 else before._replace(high=after.high, high_in=after.high_in)


def _intersection(one: Sequence[Piece], other: Sequence[Piece]) -> list[Piece]:
    met = [_common(first, second) for first in one for second in other]
    return [piece for piece in met if piece is not None]


def _common(one: Piece, other: Piece) -> Piece | None:
    low, low_in = _inner((one.low, one.low_in), (other.low, other.low_in), 1)
    high, high_in = _inner((one.high, one.high_in), (other.high, other.high_in), -1)
    order = _compare(low, high)
    return Piece(low, low_in, high, high_in) if order < 0 or (order == 0 and low_in and high_in) else None


def _inner(one: tuple[End, bool], other: tuple[End, bool], sign: int) -> tuple[End, bool]:
    order = _compare(one[0], other[0]) * sign
    if order == 0:
        return one[0], one[1] and other[1]
    return one if order > 0 else other


def _complement(pieces: Region) -> list[Piece]:
    low, low_in = _end(MINUS_INFINITY), False
    gaps = []
    for piece in pieces:
        if _compare(low, piece.low) < 0 or (low_in and not piece.low_in):
            gaps.append(Piece(low, low_in, piece.low, not piece.low_in and piece.low.scalar.node != MINUS_INFINITY))
        low, low_in = piece.high, not piece.high_in
    if low.scalar.node != INFINITY:
        gaps.append(Piece(low, low_in, _end(INFINITY), False))
    return gaps


def same_region(one: Region, other: Region, same: Callable[[Scalar, Scalar], bool]) -> bool:
    """Whether two regions have the same pieces; `same` compares two ends."""
    return len(one) == len(other) and all(
        _same_piece(first, second, same) for first, second in zip(one, other, strict=True)
    )


def _same_piece(one: Piece, other: Piece, same: Callable[[Scalar, Scalar], bool]) -> bool:
    if (one.low_in, one.high_in) != (other.low_in, other.high_in):
        return False
    return same(one.low.scalar, other.low.scalar) and same(one.high.scalar, other.high.scalar)


def solve(chain: Comparison) -> list[Piece]:
    """The reals that satisfy every link of a chain in one variable; raises `Unsupported` if it is not that simple."""
    name = variable(chain)
    if name is None:
        raise Unsupported("an inequality in several variables")
    found = [_piece(MINUS_INFINITY, False, INFINITY, False)]
    for left, sign, right in zip(chain.sides, chain.signs, chain.sides[1:], strict=False):
        found = _intersection(found, _merged(_link(Node("add", (left, Node("neg", (right,)))), sign, name)))
    return found


def _link(difference: Node, sign: str, name: str) -> list[Piece]:
    """Where `difference sign 0` holds."""
    inner = _only_absolute(difference, name)
    if inner is not None:
        return _absolute_link(difference, inner, sign, name)
    constant, slope, square = _coefficients(difference, name)
    if _is_zero(square) and _is_zero(slope):
        raise Unsupported("an inequality without its variable")
    if _is_zero(square):
        root = Node("div", (Node("neg", (constant,)), slope))
        return _side(root, sign if _is_positive(slope) else FLIPPED[sign])
    return _quadratic(constant, slope, square, sign)


def _side(root: Node, sign: str) -> list[Piece]:
    match sign:
        case "<" | "le":
            return [_piece(MINUS_INFINITY, False, root, sign == "le")]
        case ">" | "ge":
            return [_piece(root, sign == "ge", INFINITY, False)]
        case "=":
            return [_piece(root, True, root, True)]
    return [_piece(MINUS_INFINITY, False, root, False), _piece(root, False, INFINITY, False)]


def _quadratic(constant: Node, slope: Node, square: Node, sign: str) -> list[Piece]:
    if not _is_positive(square):
        sign = FLIPPED[sign]
    four = Node("mul", (num(4), Node("mul", (square, constant))))
    discriminant = Node("add", (Node("pow", (slope, num(2))), Node("neg", (four,))))
    if not _is_zero(discriminant) and not _is_positive(discriminant):
        return _side(INFINITY, "<") if sign in {">", "ge", "ne"} else []
    root = Node("root", (discriminant, num(2)))
    ends = [
        Node("div", (Node("add", (Node("neg", (slope,)), part)), Node("mul", (num(2), square))))
        for part in (Node("neg", (root,)), root)
    ]
    low, high = ends if _is_positive(square) else reversed(ends)
    return _between_or_outside(low, high, sign)


def _between_or_outside(low: Node, high: Node, sign: str) -> list[Piece]:
    if sign in {"<", "le"}:
        return _intersection(_side(low, FLIPPED[sign]), _side(high, sign))
    if sign in {">", "ge"}:
        return [*_side(low, FLIPPED[sign]), *_side(high, sign)]
    return _intersection(_side(low, sign), _side(high, sign))


def _only_absolute(node: Node, name: str) -> Node | None:
    """What stands in the one absolute value through which alone the variable enters."""
    insides = set(_insides(node, name))
    if len(insides) != 1:
        return None
    inner = insides.pop()
    return inner if name not in names_in(_with_fresh(node, inner)) else None


def _insides(node: Node, name: str) -> list[Node]:
    if node.op == "fn" and node.name == "abs" and name in names_in(node):
        return [node.args[0]]
    return [inside for inner in node.args for inside in _insides(inner, name)]


def _with_fresh(node: Node, inner: Node) -> Node:
    if node == Node("fn", (inner,), "abs"):
        return Node("name", name=_FRESH)
    return node._replace(args=tuple(_with_fresh(argument, inner) for argument in node.args)) if node.args else node


def _absolute_link(difference: Node, inner: Node, sign: str, name: str) -> list[Piece]:
    """Solve for the absolute value, then for what stands in it: u in [a, b] is inner in [a, b] or in [-b, -a]."""
    sizes = _intersection(_link(_with_fresh(difference, inner), sign, _FRESH), _side(num(0), "ge"))
    found = []
    for size in sizes:
        low = _link(_minus(inner, size.low.scalar.node), "ge" if size.low_in else ">", name)
        found += _intersection(low, _above(inner, size, name))
        mirrored = _link(_plus(inner, size.low.scalar.node), "le" if size.low_in else "<", name)
        found += _intersection(mirrored, _below(inner, size, name))
    return found


def _above(inner: Node, size: Piece, name: str) -> list[Piece]:
    if size.high.scalar.node == INFINITY:
        return _side(INFINITY, "<")
    return _link(_minus(inner, size.high.scalar.node), "le" if size.high_in else "<", name)


def _below(inner: Node, size: Piece, name: str) -> list[Piece]:
    if size.high.scalar.node == INFINITY:
        return _side(INFINITY, "<")
    return _link(_plus(inner, size.high.scalar.node), "ge" if size.high_in else ">", name)


def _minus(left: Node, right: Node) -> Node:
    return Node("add", (left, Node("neg", (right,))))


def _plus(left: Node, right: Node) -> Node:
    return Node("add", (left, right))


def _at(node: Node, name: str, value: Fraction | int) -> Node:
    if node.op == "name" and node.name == name:
        return num(value)
    return node._replace(args=tuple(_at(inner, name, value) for inner in node.args)) if node.args else node


def _coefficients(node: Node, name: str) -> tuple[Node, Node, Node]:
    """(c0, c1, c2) of a polynomial of degree two or less, from its values at -1, 0, 1; checked at three more."""
    minus, zero, plus = (_at(node, name, value) for value in (-1, 0, 1))
    half = num(Fraction(1, 2))
    slope = Node("mul", (half, _minus(plus, minus)))
    square = _minus(Node("mul", (half, _plus(plus, minus))), zero)
    for value in (Fraction(7, 3), Fraction(-19, 5), Fraction(11)):
        guess = _plus(zero, _plus(Node("mul", (slope, num(value))), Node("mul", (square, num(value * value)))))
        real, guessed = evaluate((_at(node, name, value), guess), {})
        if not equal(real, guessed):
            raise Unsupported("an inequality that is not quadratic")
    return zero, slope, square


def _is_zero(node: Node) -> bool:
    worth = _end(node).worth
    return equal(worth, Worth(Fraction(0), Fraction(0)))


def _is_positive(node: Node) -> bool:
    return bool(_end(node).worth.value > 0)

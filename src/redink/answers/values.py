"""What an expression is worth: exactly where everything is rational, else to as many digits as the question needs.

An expression in variables is evaluated at fixed points that are derived from the names; two expressions that agree at
all of them are the same. Rational arithmetic stays exact there, so no two different polynomials of the admitted size
agree by rounding. Every power, factorial and sum is bounded before it is formed.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import mpmath

from redink.answers.expressions import Node, names_in
from redink.answers.latex import TooLarge, Undecided, Unsupported

MOST_BITS = 60_000
LARGEST_FACTORIAL = 3000
MOST_GAMMA_BITS = 1000
MOST_STEPS = 20_000
MOST_TERMS = 500
POINTS = 7
NEEDED = 3
POSITIVE = (0, 1, 5)
"""The points at which every variable is positive."""
LEAST_PRECISION = 220
MOST_PRECISION = 6000
_SLACK = 60

Number = Any
"""A Fraction, or a number of an mpmath context (which has no types)."""


class Undefined(Exception):
    """No value here: a division by zero, or a logarithm of zero."""


_local = threading.local()


def _context() -> Any:
    if not hasattr(_local, "mp"):
        _local.mp = mpmath.MPContext()
    return _local.mp


class Evaluator:
    """Evaluates one expression at one point; keeps the steps taken and how far its numbers spread."""

    def __init__(self, point: dict[str, Fraction], precision: int = LEAST_PRECISION, degrees: bool = False) -> None:
        self.point, self.degrees = dict(point), degrees
        self.mp = _context()
        self.mp.prec = self.precision = precision
        self.steps = self.spread = 0
        self.unreal = False
        self.peak: Number = self.mp.mpf(1)

    def __call__(self, node: Node) -> Number:
        """The value of an expression at the point; raises `Undefined`, `TooLarge` or `Unsupported`."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TooLarge("too many steps")
        value = _OPS[node.op](self, node)
        self._watch(value)
        return value

    def _watch(self, value: Number) -> None:
        if isinstance(value, Fraction):
            bits = max(value.numerator.bit_length(), value.denominator.bit_length())
            if bits > MOST_BITS:
                raise TooLarge(f"a number of more than {MOST_BITS} bits")
            return
        if not self.mp.isfinite(value):
            return
        size = abs(value)
        if size:
            self.spread = max(self.spread, abs(int(self.mp.mag(size))))
            self.peak = max(self.peak, size)
        if self.spread > MOST_BITS:
            raise TooLarge(f"a number of more than {MOST_BITS} bits")

    def inexact(self, value: Number) -> Number:
        """The value in the working precision."""
        if not isinstance(value, Fraction):
            return value
        self.spread = max(self.spread, value.numerator.bit_length(), value.denominator.bit_length())
        return self.mp.mpf(value.numerator) / value.denominator


def _both(run: Evaluator, node: Node, exact: Callable[[Fraction, Fraction], Fraction]) -> Number:
    left, right = run(node.args[0]), run(node.args[1])
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return exact(left, right)
    return exact(run.inexact(left), run.inexact(right))


def _add(run: Evaluator, node: Node) -> Number:
    return _both(run, node, lambda left, right: left + right)


def _mul(run: Evaluator, node: Node) -> Number:
    return _both(run, node, lambda left, right: left * right)


def _div(run: Evaluator, node: Node) -> Number:
    try:
        return _both(run, node, lambda left, right: left / right)
    except ZeroDivisionError:
        raise Undefined("division by zero") from None


def _neg(run: Evaluator, node: Node) -> Number:
    return -run(node.args[0])


def _num(run: Evaluator, node: Node) -> Number:
    return node.value


def _pm(run: Evaluator, node: Node) -> Number:
    raise Unsupported("a plus-minus sign")


def _name(run: Evaluator, node: Node) -> Number:
    return run.point[node.name]


def _const(run: Evaluator, node: Node) -> Number:
    match node.name:
        case "pi":
            return +run.mp.pi
        case "e":
            return +run.mp.e
        case "i":
            return run.mp.mpc(0, 1)
    return run.mp.inf


def _pow(run: Evaluator, node: Node) -> Number:
    base, exponent = run(node.args[0]), run(node.args[1])
    return power(run, base, exponent)


def _root(run: Evaluator, node: Node) -> Number:
    base, index = run(node.args[0]), run(node.args[1])
    if not index:
        raise Undefined("the zeroth root")
    return power(run, base, 1 / index)


def power(run: Evaluator, base: Number, exponent: Number) -> Number:
    """base ** exponent, exact where it is rational, real for odd roots of negative numbers, bounded."""
    if not base:
        return _power_of_zero(base, exponent)
    if isinstance(exponent, Fraction) and isinstance(base, Fraction):
        if exponent.denominator == 1:
            return _whole_power(base, exponent.numerator)
        exact = _exact_root(base, exponent)
        if exact is not None:
            return exact
    return _inexact_power(run, base, exponent)


def _power_of_zero(base: Number, exponent: Number) -> Number:
    real = exponent.real if hasattr(exponent, "real") else exponent
    if real < 0:
        raise Undefined("a negative power of zero")
    return Fraction(1) if exponent == 0 else base


def _whole_power(base: Fraction, exponent: int) -> Fraction:
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits > 1 and abs(exponent) * (bits - 1) > MOST_BITS:
        raise TooLarge("a power too large to write out")
    if abs(exponent) > 10**9:
        exponent %= 2  # of 1 or -1: only the parity counts
    return base**exponent


def _exact_root(base: Fraction, exponent: Fraction) -> Fraction | None:
    """base ** (p/q) if the q-th root is rational; the real root for odd q."""
    index = exponent.denominator
    if index > 64 or (base < 0 and index % 2 == 0):
        return None
    top, bottom = _whole_root(abs(base.numerator), index), _whole_root(base.denominator, index)
    if top is None or bottom is None:
        return None
    return _whole_power(Fraction(top if base > 0 else -top, bottom), exponent.numerator)


def _whole_root(value: int, index: int) -> int | None:
    if index == 2:
        root = math.isqrt(value)
        return root if root * root == value else None
    if value.bit_length() > 3000:
        return None
    root = round(math.exp(math.log(value) / index)) if value.bit_length() < 900 else 0
    for near in (root - 1, root, root + 1):
        if near > 0 and near**index == value:
            return near
    return None


def _inexact_power(run: Evaluator, base: Number, exponent: Number) -> Number:
    sign = 1
    real_base, real_power = run.inexact(base), run.inexact(exponent)
    negative = not isinstance(real_base, run.mp.mpc) and real_base < 0
    if negative and isinstance(exponent, Fraction) and exponent.denominator % 2 == 1:
        sign = -1 if exponent.numerator % 2 else 1
        real_base = -real_base
    elif negative:
        run.unreal = True
    if not run.mp.isfinite(real_base) or not run.mp.isfinite(real_power):
        return run.mp.power(real_base, real_power)
    if abs(real_power) * (abs(run.mp.log(abs(real_base))) + 4) > MOST_BITS:
        raise TooLarge("a power too large to write out")
    return sign * run.mp.power(real_base, real_power)


def _fact(run: Evaluator, node: Node) -> Number:
    value = run(node.args[0])
    if isinstance(value, Fraction) and value.denominator == 1:
        return _factorial(value.numerator)
    if abs(value) > LARGEST_FACTORIAL or run.precision > MOST_GAMMA_BITS:
        raise TooLarge("a factorial too large to write out")
    return run.mp.gamma(run.inexact(value) + 1)


def _factorial(value: int) -> Fraction:
    if value < 0:
        raise Undefined("the factorial of a negative number")
    if value > LARGEST_FACTORIAL:
        raise TooLarge("a factorial too large to write out")
    return Fraction(math.factorial(value))


def _double_factorial(value: Fraction) -> Fraction | None:
    if value.denominator != 1 or value < 0:
        return None
    if value > LARGEST_FACTORIAL:
        raise TooLarge("a factorial too large to write out")
    return Fraction(math.prod(range(int(value), 0, -2)))


def _degree(run: Evaluator, node: Node) -> Number:
    value = run(node.args[0])
    return run.inexact(value) * run.mp.pi / 180


def _index(run: Evaluator, node: Node) -> Number:
    return _arbitrary(node.name, [run(argument) for argument in node.args])


def _arbitrary(name: str, values: list[Number]) -> Fraction:
    """The value of an unknown function: the same for the same argument, unrelated for another."""
    return _hashed(f"{name}({','.join(map(_shown, values))})")


def _shown(value: Number) -> str:
    return str(value) if isinstance(value, Fraction) else mpmath.nstr(value, 20)


def _hashed(text: str) -> Fraction:
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    return Fraction(digest % 9973 + 1, 4999)


def _series(run: Evaluator, node: Node) -> Number:
    low, high = run(node.args[0]), run(node.args[1])
    if not all(isinstance(end, Fraction) and end.denominator == 1 for end in (low, high)):
        raise Unsupported("a sum without whole bounds")
    if high - low > MOST_TERMS:
        raise TooLarge(f"a sum of more than {MOST_TERMS} terms")
    hidden, total = run.point.get(node.name), Fraction(node.op == "prod")
    for step in range(int(low), int(high) + 1):
        run.point[node.name] = Fraction(step)
        total = _joined(run, node.op, total, run(node.args[2]))
    if hidden is None:
        run.point.pop(node.name, None)
    else:
        run.point[node.name] = hidden
    return total


def _joined(run: Evaluator, op: str, total: Number, value: Number) -> Number:
    if not (isinstance(total, Fraction) and isinstance(value, Fraction)):
        total, value = run.inexact(total), run.inexact(value)
    return total + value if op == "sum" else total * value


def _fn(run: Evaluator, node: Node) -> Number:
    values = [run(argument) for argument in node.args]
    exact = _EXACT.get(node.name)
    try:
        if exact is not None and all(isinstance(value, Fraction) for value in values):
            found = exact(*values)
            if found is not None:
                return found
        return _INEXACT[node.name](run, *map(run.inexact, values))
    except (ZeroDivisionError, ValueError):
        raise Undefined(node.name) from None
    except (OverflowError, TypeError, KeyError):
        raise Unsupported(node.name) from None


def _binom(top: Fraction, bottom: Fraction) -> Fraction | None:
    if top.denominator != 1 or bottom.denominator != 1 or top < 0:
        return None
    if bottom < 0 or bottom > top:
        return Fraction(0)
    if top > MOST_BITS // 4:
        raise TooLarge("a binomial too large to write out")
    return Fraction(math.comb(int(top), int(bottom)))


def _whole(of: Callable[..., int]) -> Callable[..., Fraction | None]:
    def function(*values: Fraction) -> Fraction | None:
        if any(value.denominator != 1 for value in values):
            return None
        return Fraction(of(*map(int, values)))

    return function


def _rounded(run: Evaluator, value: Number, of: str) -> Number:
    """Floor or ceiling of a real number; an inexact whole number is taken as whole."""
    nearest = run.mp.nint(value)
    if abs(value - nearest) < run.mp.mpf(2) ** -(run.precision // 2):
        return nearest
    return getattr(run.mp, of)(value)


def _log(run: Evaluator, value: Number, base: Number | None = None) -> Number:
    if not value or (base is not None and (not base or base == 1)):
        raise Undefined("log")
    run.unreal |= not isinstance(value, run.mp.mpc) and value < 0
    return run.mp.log(value) if base is None else run.mp.log(value) / run.mp.log(base)


def _bounded_exp(run: Evaluator, value: Number) -> Number:
    if abs(value) > MOST_BITS:
        raise TooLarge("a power too large to write out")
    return run.mp.exp(value)


def _plain(name: str) -> Callable[..., Number]:
    return lambda run, value: getattr(run.mp, name)(_moderate(value))


def _moderate(value: Number) -> Number:
    if abs(value) > 10**9:
        raise TooLarge("an argument too large for its function")
    return value


_EXACT: dict[str, Callable[..., Fraction | None]] = {
    "abs": abs,
    "floor": lambda value: Fraction(math.floor(value)),
    "ceil": lambda value: Fraction(math.ceil(value)),
    "binom": _binom,
    "double factorial": _double_factorial,
    "conj": lambda value: value,
    "gcd": _whole(math.gcd),
    "lcm": _whole(math.lcm),
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "exp": lambda value: Fraction(1) if value == 0 else None,
    "sin": lambda value: Fraction(0) if value == 0 else None,
    "cos": lambda value: Fraction(1) if value == 0 else None,
    "ln": lambda value: Fraction(0) if value == 1 else None,
    "log": lambda value, base=None: Fraction(0) if value == 1 else None,
}
_INEXACT: dict[str, Callable[..., Number]] = {
    **{name: _plain(name) for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh")},
    **{f"arc{name}": _plain(f"a{name}") for name in ("sin", "cos", "tan")},
    "abs": lambda run, value: abs(value),
    "conj": lambda run, value: run.mp.conj(value),
    "floor": lambda run, value: _rounded(run, value, "floor"),
    "ceil": lambda run, value: _rounded(run, value, "ceil"),
    "binom": lambda run, top, bottom: run.mp.binomial(_moderate(top), _moderate(bottom)),
    "max": lambda run, *values: max(values),
    "min": lambda run, *values: min(values),
    "exp": _bounded_exp,
    "ln": _log,
    "log": _log,
}
_OPS: dict[str, Callable[[Evaluator, Node], Number]] = {
    "add": _add, "mul": _mul, "div": _div, "neg": _neg, "num": _num, "name": _name, "const": _const, "pow": _pow,
    "root": _root, "fact": _fact, "degree": _degree, "index": _index, "call": _index, "sum": _series, "pm": _pm,
    "prod": _series, "fn": _fn,
}  # fmt: skip


@lru_cache(maxsize=4096)
def whole_names(node: Node) -> frozenset[str]:
    """The variables that stand for whole numbers: in the bounds of a sum, a factorial, a binomial, (-1)^n."""
    inner = frozenset[str]().union(*map(whole_names, node.args))
    if node.op in {"sum", "prod"}:
        return inner | names_in(node.args[0]) | names_in(node.args[1])
    if node.op == "fact" or (node.op == "fn" and node.name in {"binom", "double factorial"}):
        return inner.union(*map(names_in, node.args))
    if node.op == "pow" and node.args[0].op == "neg":
        return inner | names_in(node.args[1])
    return inner


def point(names: frozenset[str], whole: frozenset[str], which: int) -> dict[str, Fraction]:
    """The `which`-th point: between 0 and 1, above 1, mixed signs, negative, then mixed again."""
    return {name: _coordinate(name, name in whole, which) for name in names}


def _coordinate(name: str, whole: bool, which: int) -> Fraction:
    drawn = _hashed(f"{name}|{which}")
    if whole:
        return Fraction(3 + 2 * which + drawn.numerator % 7)
    match which:
        case 0:
            return drawn / 2
        case 1:
            return 1 + drawn
        case 3:
            return -drawn
        case 5:
            return 3 + 5 * drawn
    return drawn if (drawn.numerator // 3) % 2 else -drawn


class Worth(NamedTuple):
    """A value with the bound of its error (0 for an exact Fraction)."""

    value: Number
    error: Number
    unreal: bool = False
    """Whether a root or a logarithm of a negative number was taken on the way."""


def evaluate(nodes: Sequence[Node], at: dict[str, Fraction]) -> list[Worth]:
    """What each expression is worth at a point, all in one precision that is enough for the smallest number met.

    A number that stays as small as the precision allows, however high it is, is a zero that rounding hides.
    Raises `Undefined`, `TooLarge` or `Unsupported`.
    """
    precision, asked_before = LEAST_PRECISION, False
    while True:
        runs = [Evaluator(at, precision) for _ in nodes]
        values = [run(node) for run, node in zip(runs, nodes, strict=True)]
        if all(isinstance(value, Fraction) for value in values):
            return [Worth(value, Fraction(0)) for value in values]
        values = [run.inexact(value) for run, value in zip(runs, values, strict=True)]
        spread = max(run.spread for run in runs)
        enough = precision >= 2 * spread + LEAST_PRECISION - _SLACK
        if enough or (asked_before and spread >= precision - _SLACK):
            lost = 2 * _SLACK if not enough else _SLACK + spread
            bounds = [run.peak * run.mp.ldexp(1, lost - precision) for run in runs]
            return [Worth(value, bound, run.unreal) for run, value, bound in zip(runs, values, bounds, strict=True)]
        if _clearly_differ(runs, values, precision):
            return [Worth(value, 0, run.unreal) for run, value in zip(runs, values, strict=True)]
        precision, asked_before = 2 * spread + LEAST_PRECISION, True
        if precision > MOST_PRECISION:
            raise TooLarge("too many digits are needed")


def _clearly_differ(runs: Sequence[Evaluator], values: Sequence[Number], precision: int) -> bool:
    """Whether two values lie so far apart that no more digits are needed."""
    if len(values) != 2 or not all(run.mp.isfinite(value) for run, value in zip(runs, values, strict=True)):
        return False
    peak = max(run.peak for run in runs)
    return bool(abs(values[0] - values[1]) > peak * runs[0].mp.ldexp(1, 2 * _SLACK - precision))


def equal(one: Worth, other: Worth) -> bool:
    """Whether two results of one `evaluate` are the same number."""
    if isinstance(one.value, Fraction) and isinstance(other.value, Fraction):
        return one.value == other.value
    mp = _context()
    if not (mp.isfinite(one.value) and mp.isfinite(other.value)):
        return bool(one.value == other.value)
    return bool(abs(one.value - other.value) <= abs(one.error) + abs(other.error))


def same_value(one: Node, other: Node) -> bool:
    """Whether two expressions are equal as functions of their variables.

    Raises `Unsupported` if no point decides, `TooLarge` beyond a bound.
    """
    names = names_in(one) | names_in(other)
    whole = whole_names(one) | whole_names(other)
    found = []
    for which in range(POINTS if names else 1):
        found.append(_agree(one, other, point(names, whole, which), bool(names)))
        if found[-1] is False:
            if which in POSITIVE or not _takes_roots(one) or not _takes_roots(other):
                return False
            return _same_for_positive(one, other, names, whole)
    agreed = found.count(True)
    if agreed < (NEEDED if names else 1):
        if agreed == 0 and "apart" in found:
            return False
        raise Unsupported("no value to compare")
    return True


def _same_for_positive(one: Node, other: Node, names: frozenset[str], whole: frozenset[str]) -> bool:
    """False if two expressions with roots differ also where every variable is positive; else undecided."""
    if all(_agree(one, other, point(names, whole, which), True) is True for which in POSITIVE):
        raise Undecided("the same if every variable is positive")
    return False


def _takes_roots(node: Node) -> bool:
    """Whether a root is taken of something with a variable, and no absolute value."""
    if node.op == "fn" and node.name == "abs":
        return False
    root = node.op == "root" or (node.op == "pow" and node.args[1].op == "div")
    return (root and bool(names_in(node.args[0]))) or any(map(_takes_roots, node.args))


def _agree(one: Node, other: Node, at: dict[str, Fraction], variable: bool) -> bool | Literal["apart"] | None:
    """None where a side has no value, or both leave the real numbers; "apart" where only one does.

    Such points alone decide nothing: there the root of a product is not the product of the roots.
    """
    try:
        left, right = evaluate((one, other), at)
    except Undefined:
        return None
    if equal(left, right):
        return True
    if variable and (left.unreal != right.unreal or _is_complex(left.value) != _is_complex(right.value)):
        return "apart"
    if left.unreal and right.unreal and variable:
        return None
    return None if variable and _is_complex(left.value) and _has_log(one) and _has_log(other) else False


def _is_complex(value: Number) -> bool:
    return not isinstance(value, Fraction) and hasattr(value, "imag") and bool(value.imag)


def _has_log(node: Node) -> bool:
    return (node.op == "fn" and node.name in {"log", "ln"}) or any(map(_has_log, node.args))


def is_constant(node: Node) -> bool:
    """Whether an expression holds no variable and no unknown function."""
    return not names_in(node) and not _has_unknown(node)


def real_values(nodes: Sequence[Node]) -> list[Worth] | None:
    """What expressions without variables are worth, if all are real (infinite ends included), else None."""
    if not all(map(is_constant, nodes)):
        return None
    try:
        found = evaluate(nodes, {})
    except Undefined:
        return None
    if any(_is_complex(worth.value) for worth in found):
        return None
    return [worth if isinstance(worth.value, Fraction) else Worth(worth.value.real, worth.error) for worth in found]


def _has_unknown(node: Node) -> bool:
    return node.op in {"index", "call"} or any(map(_has_unknown, node.args))


def ratio(one: Node, other: Node) -> Number | None:
    """The constant ratio of two expressions in the same variables, not 0; None if there is none.

    Raises as `same_value`.
    """
    names = names_in(one) | names_in(other)
    if not names or names_in(one) != names_in(other):
        return None
    whole = whole_names(one) | whole_names(other)
    quotient = Node("div", (one, other))
    points = [point(names, whole, which) for which in range(POINTS)]
    found = [value for value in (_defined(quotient, at) for at in points) if value is not None]
    if len(found) < NEEDED or any(not worth.value or not _same_ratio(worth, found[0]) for worth in found):
        return None
    return found[0].value


def _same_ratio(one: Worth, other: Worth) -> bool:
    if isinstance(one.value, Fraction) and isinstance(other.value, Fraction):
        return one.value == other.value
    left, right = _inexact(one.value), _inexact(other.value)
    return bool(abs(left - right) <= abs(one.error) + abs(other.error))


def _inexact(value: Number) -> Number:
    return _context().mpf(value.numerator) / value.denominator if isinstance(value, Fraction) else value


def _defined(node: Node, at: dict[str, Fraction]) -> Worth | None:
    try:
        return evaluate((node,), at)[0]
    except Undefined:
        return None

"""Worked solutions by rule, in GSM8K's form: one equation a line, `14 + 27 = <<14+27=41>>41`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from redink.failures import Unteachable

_OPERATIONS: Mapping[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.floordiv,
}
_TOKEN = re.compile(r"\d+|[-+*/()]")
_PLAIN_LINE = re.compile(r"(\d+) ([-+]) (\d+) = <<[^<>]*>>(\d+)")
_LINEAR_TERM = re.compile(r"(-?)(?:(\d+)\*)?([a-z])|(-?\d+)")


@dataclass(frozen=True)
class Equation:
    """`left operator right = value` in whole numbers, with what it is about where that helps."""

    left: int
    operator: str
    right: int
    about: str = ""

    @property
    def value(self) -> int:
        """The result; raises `Unteachable` for a division that leaves a remainder."""
        if self.operator == "/" and (self.right == 0 or self.left % self.right):
            raise Unteachable("inexact_division", f"{self.left} / {self.right}")
        return _OPERATIONS[self.operator](self.left, self.right)

    def __str__(self) -> str:
        """The line of the solution."""
        about = f"{self.about}: " if self.about else ""
        annotation = f"{self.left}{self.operator}{self.right}={self.value}"
        return f"{about}{self.left} {self.operator} {self.right} = <<{annotation}>>{self.value}"


@dataclass(frozen=True)
class Worked:
    """A worked solution and the answer it ends in."""

    solution: str
    answer: str


def write_out(equations: Sequence[Equation], value: int) -> Worked:
    """One line an equation; where nothing is to be computed, one line that says the value."""
    lines = [str(equation) for equation in equations] or [f"{value} = <<{value}={value}>>{value}"]
    return Worked("\n".join(lines), str(value))


def expression(text: str) -> Worked:
    """Work out an expression in + - * / and brackets: precedence respected, else left to right.

    A bracket with a minus in front is taken from 0. Raises `Unteachable` for an inexact division.

    >>> expression("7 - 2 * 3").solution.splitlines()
    ['2 * 3 = <<2*3=6>>6', '7 - 6 = <<7-6=1>>1']
    """
    reading = _Reading(_TOKEN.findall(text))
    value = reading.sum()
    return write_out(reading.equations, value)


@dataclass
class _Reading:
    """A recursive-descent reading that notes one equation for each operation, in the order of computing."""

    tokens: list[str]
    equations: list[Equation] = field(default_factory=list)

    def sum(self) -> int:
        """Read a sum of products and return its value."""
        return self._chain(self._product, "+-")

    def _product(self) -> int:
        return self._chain(self._factor, "*/")

    def _chain(self, operand: Callable[[], int], operators: str) -> int:
        value = operand()
        while self.tokens and self.tokens[0] in operators:
            value = self._note(value, self.tokens.pop(0), operand())
        return value

    def _factor(self) -> int:
        token = self.tokens.pop(0)
        if token == "-":
            return -int(self.tokens.pop(0)) if self.tokens[0].isdigit() else self._note(0, "-", self._factor())
        if token == "(":
            value = self.sum()
            self.tokens.pop(0)
            return value
        return int(token)

    def _note(self, left: int, sign: str, right: int) -> int:
        self.equations.append(Equation(left, sign, right))
        return self.equations[-1].value


def running_sum(values: Sequence[int]) -> list[Equation]:
    """Add up left to right: [3, 4, 5] → 3 + 4, 7 + 5."""
    equations: list[Equation] = []
    for value in values[1:]:
        equations.append(Equation(equations[-1].value if equations else values[0], "+", value))
    return equations


def in_longer_lines(solution: str, operations: int) -> str:
    """Join sums and differences that go on from the line before, up to so many operations in a line.

    Lines stay apart where the value between them is used again further down; other lines stay as they are.

    >>> print(in_longer_lines("5 + 9 = <<5+9=14>>14\\n14 - 2 = <<14-2=12>>12\\n12 + 3 = <<12+3=15>>15\\n#### 15", 2))
    5 + 9 - 2 = <<5+9-2=12>>12
    12 + 3 = <<12+3=15>>15
    #### 15
    """
    lines = solution.splitlines()
    operands = [re.findall(r"\d+", line.partition(" = ")[0]) for line in lines]
    joined: list[str] = []
    left, count, value = "", 0, ""
    for index, line in enumerate(lines, start=1):
        match = _PLAIN_LINE.fullmatch(line)
        if match is None:
            count = 0
        elif 0 < count < operations and match[1] == value and all(value not in later for later in operands[index:]):
            left, count, value = f"{left} {match[2]} {match[3]}", count + 1, match[4]
            joined.pop()
        else:
            left, count, value = f"{match[1]} {match[2]} {match[3]}", 1, match[4]
        joined.append(f"{left} = <<{left.replace(' ', '')}={value}>>{value}" if match else line)
    return "\n".join(joined)


def leg_count(counts: Mapping[str, int], legs: Mapping[str, int]) -> Worked:
    """The legs of each kind of animal, then their running sum; at least one kind."""
    products = [Equation(count, "*", legs[animal], animal) for animal, count in counts.items()]
    equations = products + running_sum([product.value for product in products])
    return write_out(equations, equations[-1].value)


def linear_equation(text: str) -> Worked:
    """Solve `a*x + b = c` for its one variable, a and b anywhere on the left: c − b, then divided by a.

    Raises `Unteachable` where the left side is not of that form or does not hold the variable.

    >>> linear_equation("20*h + 65 = 1485").solution.splitlines()
    ['1485 - 65 = <<1485-65=1420>>1420', '1420 / 20 = <<1420/20=71>>71']
    """
    left, _, right = text.partition(" = ")
    slope, constant = _slope_and_constant(left)
    value, equations = int(right), []
    if constant:
        equations.append(Equation(value, "-" if constant > 0 else "+", abs(constant)))
        value = equations[-1].value
    if slope != 1:
        equations.append(Equation(value, "/", slope))
        value = equations[-1].value
    return write_out(equations, value)


def _slope_and_constant(left: str) -> tuple[int, int]:
    """The a and b of a sum of terms like `20*h`, `-h` and `65`."""
    slope = constant = 0
    for term in left.replace("- ", "-").replace("+ ", "").split():
        match = _LINEAR_TERM.fullmatch(term)
        if match is None:
            raise Unteachable("not_linear", left)
        minus, factor, variable, number = match.groups()
        slope += int(f"{minus}{factor or 1}") if variable else 0
        constant += int(number or 0)
    if slope == 0:
        raise Unteachable("not_linear", left)
    return slope, constant


def least_common_multiple(numbers: Sequence[int]) -> Worked:
    """The least common multiple of two or more whole numbers, one number at a time: first / gcd * next."""
    equations: list[Equation] = []
    value = numbers[0]
    for number in numbers[1:]:
        equations.append(Equation(value, "/", math.gcd(value, number), f"gcd of {value} and {number}"))
        equations.append(Equation(equations[-1].value, "*", number))
        value = equations[-1].value
    return write_out(equations, value)


def last_angle(sides: int, angles: Sequence[int]) -> Worked:
    """The last interior angle of a polygon: (sides − 2) * 180, less the running sum of the others."""
    total = [Equation(sides, "-", 2), Equation(sides - 2, "*", 180)]
    known = running_sum(angles)
    rest = Equation(total[-1].value, "-", sum(angles))
    return write_out([*total, *known, rest], rest.value)

"""What is worth a worker's time: all that sympy reads for us is asked, and what it cannot take never is."""

from __future__ import annotations

import pytest

from redink.answers.latex import TooLarge, clean
from redink.answers.outside import looks_readable, question
from redink.answers.worker import look

ASKED = [
    ("\\int_0^1 x dx", "\\frac{1}{2}"),
    ("\\int_0^1 x \\, \\mathrm{d}x", "0.5"),
    ("\\lim_{x\\to 0} \\frac{\\sin x}{x}", "1"),
    ("\\lim_{n \\rightarrow \\infty} \\frac{1}{n}", "0"),
    ("\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}", "-2"),
    ("\\int x^2 dx", "\\int y^2 dy"),
]
IN_VAIN = [
    ("\\fra{1}{2}", "\\frac12"),
    ("\\int_0^1 x dx", "\\fra{1}{2}"),
    ("\\int_{0^1 x dx", "1"),
    ("\\int_0^1 x dx)", "1"),
    ("y = \\int_0^1 x dx", "1"),
    ("\\int_0^1 x dx < 3", "1"),
    ("\\int_0^1 x dx", "yes"),
    ("\\int_0^1 x dx", "(1,2)"),
    ("\\int_0^1 x dx", "5\\text{ cm}"),
    ("\\begin{cases}1\\end{cases}", "1"),
    ("\\begin{vmatrix}1", "1"),
    ("\\int_0^1 \u96ea dx", "1"),
    ("\\int_0^1 x dx" + " + 1" * 200, "1"),
    ("\\int_0^1 x dx", "5 squared"),
]


@pytest.mark.parametrize(("one", "other"), ASKED)
def test_what_sympy_reads_is_asked(one: str, other: str) -> None:
    assert question(one, other) == (clean(one), clean(other))


@pytest.mark.parametrize(("one", "other"), IN_VAIN)
def test_what_is_in_vain_is_not(one: str, other: str) -> None:
    assert question(one, other) is None


@pytest.mark.slow
@pytest.mark.parametrize(("one", "other"), IN_VAIN)
def test_nothing_that_is_not_asked_would_have_been_right(one: str, other: str) -> None:
    """By sympy's own reader, without our look before it."""
    assert look(clean(one), clean(other))[0] != "right"


def test_a_side_beyond_the_bounds_is_evaluated_nowhere() -> None:
    with pytest.raises(TooLarge):
        question("\\int_0^1 x dx", "10^{10^{10}}")


@pytest.mark.parametrize(
    ("text", "readable"), [("\\int (x]", False), ("\\int [(x)]", True), ("a % b", False), ("\\$5", False)]
)
def test_looks(text: str, readable: bool) -> None:
    assert looks_readable(text) is readable

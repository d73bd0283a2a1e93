"""The benchmark's pairs: what it calls right or different, checked by hand and against sympy's own reading."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from benchmarks import answers
from benchmarks.answers import Pair, Timed, as_text, differ, make_pairs, plain_number, report

NUMBERS = ["18", "1,234", "-7", "3244047.25", "0.5", "70000"]
EXPRESSIONS = [
    "\\frac{3}{4}",
    "2\\sqrt{3}",
    "(1,-2)",
    "x^2+3x",
    "\\left[0,1\\right)",
    "\\text{even}",
    "12",
    "\\frac{\\pi}{6}",
]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("He has 3.\n#### 1,200", "1,200"), ("9 (apples)", "9"), (145.0, "145"), (3244047.0999999996, "3244047.0999999996"),
        (["$2n$"], "2n"), (["1", "2"], ""), ("025", "025"), ("(1,2)", "(1,2)"),
    ],
)  # fmt: skip
def test_golds_as_text(value: object, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("name", answers.NUMBER_VARIANTS)
def test_a_number_written_otherwise_keeps_its_value(name: str) -> None:
    """Read back by hand: all that may stand around the digits is taken off, and a quotient divided out."""
    rng, seen = random.Random(3), 0
    for gold in NUMBERS * 5:
        text = answers.NUMBER_VARIANTS[name](gold, rng)
        if text is None:
            continue
        seen += 1
        for mark in ("\\$", "$", "\\text{", "\\!", "{,}", "x = ", "y = ", "n = ", ","):
            text = text.replace(mark, "")
        text = text.replace("\\frac{", "").replace("}{", "/").replace("}", "").strip().removesuffix(".")
        above, _, below = text.partition("/")
        assert Fraction(above) / Fraction(below or 1) == plain_number(gold)
    assert seen


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("18", "19", True), ("1,000", "1000", False), ("18", "18.0", False), ("33.3", "33.33", False), ("0.5", "0.6", True),
        ("(1,-2)", "(1,-3)", True), ("1, 2", "2, 1", False), ("\\frac{1}{2}", "\\frac{2}{4}", False),
        ("\\frac{1}{2}", "0.5", False), ("2\\sqrt{3}", "\\sqrt{12}", False), ("2\\sqrt{3}", "2\\sqrt{5}", True),
        ("x^2+3x", "x(x+3)", False), ("x^2+3x", "x^2-3x", True), ("\\text{even}", "\\text{odd}", False),
        ("50\\%", "5", False), ("\\cos(2\\pi)", "\\cos(4\\pi)", False), ("10^{999}", "10^{998}", False),
    ],
)  # fmt: skip
def test_the_oracle_is_sure_or_silent(first: str, second: str, expected: bool) -> None:
    assert differ(first, second) is differ(second, first) is expected


def test_pairs_are_distinct_and_half_of_them_right() -> None:
    made = make_pairs(EXPRESSIONS, 60, answers.MATH_VARIANTS, answers.MATH_MISSES, random.Random(0))
    assert len({(pair.pred, pair.gold) for pair in made}) == 60
    assert sum(pair.right for pair in made) == 30
    assert made == make_pairs(EXPRESSIONS, 60, answers.MATH_VARIANTS, answers.MATH_MISSES, random.Random(0))


def test_the_report_counts_false_verdicts_and_lists_disagreements(capsys, tmp_path) -> None:
    pairs = [
        Pair("1", "1", True, "a"),
        Pair("2", "1", False, "b"),
        Pair("3", "3", True, "c"),
        Pair("4", "5", False, "d"),
    ]
    timed = Timed(
        pairs,
        ["right", "right", "wrong", "wrong"],
        ["right", "wrong", "right", "ungradable"],
        [(1.0, 30.0), (2.0, 20.0), (1.0, 40.0)],
    )
    report({"gsm8k": timed, "math": timed}, tmp_path / "out.jsonl")
    out = capsys.readouterr().out
    assert "figure speedup_gsm8k = 30.0 x (goal >= 20)" in out
    assert "figure false_right = 2 pairs (goal <= 0)\n" in out
    assert "\nfalse_right: 2 of 4 pairs" in out
    assert "figure false_wrong = 2 pairs (goal <= 0)\n" in out
    assert "\nfalse_wrong: 2 of 4 pairs" in out
    assert "figure math_verify_false_right = 0 pairs\n" in out
    assert "\nmath_verify_false_right: 0 of 4 pairs" in out
    assert "figure agreement = 25.00 %" in out
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 6

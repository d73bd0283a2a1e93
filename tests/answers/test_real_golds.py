"""Gold answers of the published sets against themselves and each other; skipped where the data is not at hand.

Whether two golds differ is decided by an oracle of this file: a plain-number reader and latex2sympy, not our reader.
"""

from __future__ import annotations

import json
import os
import random
import re
from fractions import Fraction
from pathlib import Path

import pytest

from redink.answers import compare, grade
from redink.answers.extraction import last_boxed

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the published sets in {DATA}")
PAIRS = int(os.environ.get("REDINK_GOLD_PAIRS", "3000"))
"""Pairs of different golds per set; 100,000 were drawn for docs/answers.md."""
EMPTY_GOLDS = {"math_train": 2}
"""Rows whose gold is the empty text: no problem can be made of them (tests/problems), so none is graded."""


def rows(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").split("\n") if line]


GOLDS = {
    "math_train": lambda: [str(row["answer"]) for row in rows("math_train")],
    "math_test": lambda: [str(row["answer"]) for row in rows("math_test")],
    "math500": lambda: [str(row["answer"]) for row in rows("math500")],
    "aime24": lambda: [str(row["answer"]) for row in rows("aime24")],
    "amc23": lambda: [str(row["answer"]) for row in rows("amc23")],
    "gsm8k": lambda: [
        str(row["answer"]).rsplit("####", 1)[1].strip() for row in rows("gsm8k_train") + rows("gsm8k_test")
    ],
    "gsm_hard": lambda: [str(row["target"]) for row in rows("gsm_hard")],
    "svamp": lambda: [str(row["Answer"]) for row in rows("svamp")],
    "asdiv": lambda: [str(row["answer"]) for row in rows("asdiv")],
    "minerva": lambda: [last_boxed(str(row["solution"])) or "" for row in rows("minerva_math")],
    "olympiadbench": lambda: [", ".join(map(str, row["final_answer"])) for row in rows("olympiadbench")],  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", GOLDS)
def test_every_gold_is_right_against_itself(name: str) -> None:
    golds = GOLDS[name]()
    empty = [gold for gold in golds if not gold.strip()]
    assert len(empty) == EMPTY_GOLDS.get(name, 0)
    assert {compare(gold, gold).outcome for gold in empty} <= {"ungradable"}
    assert [gold for gold in golds if gold.strip() and not compare(gold, gold).right] == []


DRESSES = [
    lambda gold: f"${gold}$",
    lambda gold: f"\\( {gold} \\)",
    lambda gold: f"\\boxed{{{gold}}}",
    lambda gold: gold.replace("\\frac", "\\dfrac").replace(" ", "  ") + ".",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDS)
def test_a_gold_in_another_dress_is_right(name: str) -> None:
    golds = [
        gold for gold in dict.fromkeys(GOLDS[name]()) if gold.strip() and "$" not in gold and not gold.endswith(".")
    ]
    missed = [gold for gold in golds for dress in DRESSES if not compare(dress(gold), gold).right]
    assert missed == []


def plain(gold: str) -> str:
    """A gold without what the default switches leave aside: units, percent, money, degrees, base, the name x =."""
    gold = re.sub(
        r"\\(?:text|mbox|textnormal)\s?\{[^{}]*\}(?:\^\{?\d\}?)?|\([A-Za-z][A-Za-z' .\-]*\)|\\%|%|\\\$|\$", "", gold
    )
    gold = re.sub(
        r"\^\s?\{?\\circ\}?|\\!|_\{?\d+\}?$|^\s*[A-Za-z]\s?=|(?<=\d),(?=\d{3})|\\left|\\right|\.$|[a-z .]+$", "", gold
    )
    return re.sub(r"\\[dtc]?frac\s?(\d)\s?(\d)", r"\\frac{\1}{\2}", gold).strip()


NUMERALS = {"one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8"}


def oracle(gold: str) -> Fraction | float | str:
    """The number that a gold is, if it is one; else its text without spaces."""
    from latex2sympy2_extended import latex2sympy

    gold = plain(gold) or NUMERALS.get(re.sub(r"\\[a-z]+|[{}\s]", "", gold), gold)
    try:
        return Fraction(gold)
    except (ValueError, ZeroDivisionError):
        pass
    try:
        return float(latex2sympy(gold))
    except Exception:
        return (
            gold.replace(" ", "")
            .replace("{", "")
            .replace("}", "")
            .replace("\\dfrac", "\\frac")
            .replace("\\tfrac", "\\frac")
        )


def differ(one: str, other: str) -> bool:
    """Whether two golds are not the same value, by the oracle; percent stands for a hundredth, too.

    A list without brackets may be a tuple: that pair belongs to a switch (`list_as_tuple`).
    """
    one, other = (re.sub(r"^\s*\(([^()]*)\)\s*$", r"\1", gold) for gold in (one, other))
    first, second = oracle(one), oracle(other)
    if isinstance(first, str) or isinstance(second, str):
        return first != second and sorted(re.split("[,;]", str(first))) != sorted(re.split("[,;]", str(second)))
    scales = {1, 100, 0.01} if "%" in one + other else {1}
    return not any(abs(float(first) - scale * float(second)) <= 1e-9 * abs(float(first)) for scale in scales)


def test_the_oracle_can_tell() -> None:
    assert differ("(1,2)", "2") and not differ("(1,2)", "1,2") and not differ("4", "\\mbox{four}")
    assert differ("5", "6") and differ("\\frac12", "0.25") and differ("x+1", "x+2")
    assert (
        not differ("50\\%", "0.5")
        and not differ("\\frac12", "0.5")
        and not differ("7^\\circ", "7")
        and not differ("1,-2", "-2,1")
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDS)
def test_the_gold_of_another_problem_is_never_right_if_it_differs(name: str) -> None:
    golds = [gold for gold in GOLDS[name]() if gold.strip()]
    rng = random.Random(name)
    found = {tuple(sorted(rng.sample(golds, 2))) for _ in range(PAIRS)}
    called_right = [(one, other) for one, other in found if one != other and compare(one, other).right]
    assert [pair for pair in called_right if differ(*pair)] == []


CASES = rows("grading_cases") if DATA.is_dir() else []


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_the_hard_cases_known_from_others(case: dict[str, object]) -> None:
    pred, gold = str(case["pred"]), str(case["gold"])
    verdict = compare(pred, gold) if case["kind"] == "answer" else grade(pred, gold)[1]
    assert verdict.right is case["expected"]

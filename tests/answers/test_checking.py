"""`compare` as a whole: what decided, symmetry, bounds, threads, asyncio, the cache, hostile answers."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redink.answers import DEFAULT, Switches, compare, compare_async, compare_many
from redink.answers import checking as checking_module
from redink.answers.workers import Starting
from redink.types import Verdict


@pytest.mark.parametrize(
    ("answer", "gold", "outcome", "method"),
    [
        ("72", "72", "right", "exact"),
        ("72.0", "72", "right", "exact"),
        ("1,200", "1200", "right", "exact"),
        ("2/4", "0.5", "right", "exact"),
        ("99999999999999999999", "100000000000000000000", "wrong", "exact"),
        ("-5", "5", "wrong", "exact"),
        ("$5", "5", "right", "structure"),
        ("(1, 2)", "(1,2)", "right", "same text"),
        ("\\text{isosceles}", "isosceles", "right", "same text"),
        ("0.3333", "1/3", "right", "structure"),
        ("0.3334", "1/3", "wrong", "structure"),
        ("1 1/2", "11/2", "wrong", "structure"),
        ("\\sqrt{8}", "2\\sqrt{2}", "right", "structure"),
        ("10^{10^{10}}", "1", "ungradable", "bounds"),
        ("x" * 2001, "5", "ungradable", "bounds"),
        ("", "5", "ungradable", "empty"),
        ("5", " ", "ungradable", "empty"),
    ],
)
def test_a_verdict_and_what_decided_it(answer: str, gold: str, outcome: str, method: str) -> None:
    verdict = compare(answer, gold)
    assert (verdict.outcome, verdict.method) == (outcome, method)
    assert bool(verdict.reason) == (outcome == "ungradable")


def test_a_long_answer_that_is_the_gold_answer_is_right() -> None:
    assert compare("x" * 5000, "x" * 5000).right


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_whole_numbers_compare_as_numbers(first: int, second: int) -> None:
    assert compare(str(first), f"{second:,}").right is (first == second)


@given(st.fractions(max_denominator=10**4), st.fractions(max_denominator=10**4))
def test_fractions_compare_as_fractions(first: Fraction, second: Fraction) -> None:
    written = f"\\frac{{{first.numerator}}}{{{first.denominator}}}"
    assert compare(written, f"{second.numerator}/{second.denominator}").right is (first == second)
    assert compare(written, f"\\sqrt{{{first * first}}}").right is (first >= 0)


PIECES = [
    "1", "2", "10", "0.5", "x", "y", "n", "+", "-", "\\cdot ", "/", "^", "_", "(", ")", "[", "]", "{", "}", "\\{", "\\}", "\\frac", "\\sqrt", "\\pi", "=", "<", "\\le ", ",", " ", "\\text{cm}", "\\%",
    "%", "!", "|", "\\pm ", "\\cup ", "\\infty", "\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "&", "\\sum_{k=1}^{n}", "^\\circ", "apples", "and", "or", "\\sin ", "\\log_", "f(x)", "e", "i", ":", "\\in ",
    "\\binom", "$", "\\$", "9" * 50, "\\left", "\\right", "'", "\\overline", "\\lfloor", "\\rfloor", "\\ldots", "yes", "C", "\x00", "é", "²", "½", "∞", "\\mathbb{R}", "\\setminus", "\\forall",
]  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=9), st.lists(st.sampled_from(PIECES), max_size=9))
def test_any_two_texts_have_a_verdict_that_is_symmetric(one: list[str], other: list[str]) -> None:
    first, second = "".join(one), "".join(other)
    started = time.process_time()
    verdict = compare(first, second)
    assert compare(second, first).outcome == verdict.outcome
    assert time.process_time() - started < 5
    assert compare(first, first).right or not first.strip()


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_unicode_has_a_verdict(first: str, second: str) -> None:
    assert compare(first, second).outcome == compare(second, first).outcome


HOSTILE = [
    "10^{10^{10}}", "(10^{10^{10}}+1)-10^{10^{10}}", "99999999!", "((9!)!)!", "2^{" * 1000, "(" * 10_000 + ")" * 10_000, "{" * 900 + "}" * 900, "-" * 1900, "+" * 1900 + "1", "9" * 100_000, "1" * 1900, "x^" * 900,
    "\\frac" * 300, "\\sqrt{" * 300 + "2" + "}" * 300, "1e999999999", "1e-999999999", "\\binom{10^9}{5\\cdot 10^8}", "\\sum_{k=1}^{10^{12}} k", "\\prod_{k=1}^{10^{9}} k", "\\sum_{a=1}^{400}\\sum_{b=1}^{400}\\sum_{c=1}^{400} abc",
    "e^{e^{e^{e^{e}}}}", "\\sin(10^{10^{5}})", "1000000000^{1000000000}", "(1/3)^{1000000000}", "\\sqrt[1000000000]{2}", "2^{0.5^{-100}}", "x^{10^{9}}", "(x+1)^{100000}", "\\tan(\\pi/2)", "\\log 0", "0^{-1}", "0^0", "1/(1-1)",
    "__import__('os').system('true')", "eval(1)", "lambda: 0", "\\def\\x{\\x}\\x", "%s%n", "1," * 1000, "\\{" * 30 + "1" + "\\}" * 30, "|" * 1000, "\\pm" * 12 + "1", "\\pm 1" * 12, "\\lfloor \\pi \\cdot 10^{30000} \\rfloor",
    "\\cos" * 200 + "1", "1" + "\\circ" * 500, "1" + "!" * 30, "3!!!!", "1" + "%" * 500, "e^{-10^5}", "\\gcd(10^{20000},6)", "(1,(1,(1,(1,(1,1)))))", "a" * 1900, "a_" * 600, "f(" * 300, "\\text{" * 300,
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:24]))
def test_a_hostile_answer_costs_its_own_verdict_only(text: str) -> None:
    started = time.process_time()
    assert not compare(text, "7").right
    assert compare(text + " ", text).right
    assert time.process_time() - started < 3


def test_a_comparison_in_many_threads_works_too() -> None:
    found: list[bool] = []

    def work(start: int) -> None:
        for number in range(start, start + 30):
            found.append(compare(f"\\sqrt{{{number}}}\\sqrt{{2}}", f"\\sqrt{{{2 * number}}}").right)

    threads = [threading.Thread(target=work, args=(100 * place,)) for place in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 120


def test_a_comparison_inside_asyncio_works_too() -> None:
    async def both() -> list[str]:
        plain = compare("\\frac{2}{6}", "1/3").outcome
        return [plain, (await compare_async("\\frac{2}{8}", "1/4")).outcome]

    assert asyncio.run(both()) == ["right", "right"]


def test_many_pairs_come_back_in_order_and_each_is_worked_on_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worked = []
    real = checking_module._by_structure
    monkeypatch.setattr(checking_module, "_by_structure", lambda *pair: worked.append(pair) or real(*pair))
    pairs = [("\\frac{17}{34} ", "0.5"), ("\\frac{17}{33}", "0.5")] * 300
    told: list[int] = []
    verdicts = compare_many(pairs, DEFAULT, lambda units=1, note="": told.append(units))
    assert [verdict.right for verdict in verdicts] == [True, False] * 300
    assert len(worked) == 2
    assert sum(told) == 600 and len(told) > 1


def test_questions_to_workers_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two questions are under way at once: each waits until the other has come. The same question is asked once."""
    both, asked = threading.Barrier(2), []

    class Two:
        most = 2

        def look(self, answer: str, gold: str) -> Verdict:
            asked.append((answer, gold))
            both.wait(timeout=10)
            return Verdict(outcome="right", reason=answer + gold, method="sympy")

    monkeypatch.setattr(checking_module, "POOL", Two())
    pairs = [("\\int_0^8 x dx", "32"), ("5", "5"), ("\\int_0^6 x dx", "18"), ("\\int_0^8 x dx", "32"), ("5", "6")]
    told: list[int] = []
    verdicts = compare_many(pairs, DEFAULT, lambda units=1, note="": told.append(units))
    assert [verdict.outcome for verdict in verdicts] == ["right", "right", "right", "right", "wrong"]
    assert "0^8" in verdicts[0].reason and "0^6" in verdicts[2].reason
    assert len(asked) == 2 and sum(told) == len(pairs)


def test_long_pairs_are_not_remembered() -> None:
    before = checking_module._remembered_look.cache_info().currsize
    assert compare("x+1" + " " * 300, "1+x").right
    assert checking_module._remembered_look.cache_info().currsize == before


def test_switches_are_part_of_what_is_remembered() -> None:
    assert compare("50\\%", "0.5").right
    assert not compare("50\\%", "0.5", Switches(percent="strict")).right


def test_a_worker_that_is_still_starting_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        asked = 0

        def look(self, answer: str, gold: str) -> object:
            self.asked += 1
            raise Starting

    slow = Slow()
    monkeypatch.setattr(checking_module, "POOL", slow)
    verdicts = [compare("\\int_0^4 x dx + 1", "9") for _ in range(2)]
    assert {verdict.outcome for verdict in verdicts} == {"ungradable"}
    assert slow.asked == 2


@pytest.mark.slow
def test_different_numbers_are_never_right() -> None:
    """Against exact arithmetic of Python: expressions built with their value."""
    rng = random.Random(5)
    made = [_expression(rng, 3) for _ in range(4000)]
    for (text, value), (other, target) in pairwise(made):
        verdict = compare(text, other)
        assert verdict.right is (value == target), (text, other)


def _expression(rng: random.Random, depth: int) -> tuple[str, Fraction]:
    if depth == 0 or rng.random() < 0.3:
        number = rng.randint(1, 3)
        return str(number), Fraction(number)
    (left, one), (right, two) = _expression(rng, depth - 1), _expression(rng, depth - 1)
    kind = rng.randrange(5)
    if kind == 0:
        return f"({left}+{right})", one + two
    if kind == 1:
        return f"({left}-{right})", one - two
    if kind == 2:
        return f"{left}\\cdot {right}", one * two
    if kind == 3 and two:
        return f"\\frac{{{left}}}{{{right}}}", one / two
    return f"({left})^2", one**2

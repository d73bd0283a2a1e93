"""No text makes extraction or comparison raise, hang, or judge an answer unequal to itself (the benchmark runs more)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from benchmarks.answers_fuzz import PARTS, Tally, fuzz, peak_bytes, read_tally, strings, total
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redink.answers import compare, extract
from redink.answers.checking import INTERNAL, warm_up

GOLDS = [
    "18",
    "\\frac{1}{2}",
    "(2,4)",
    "x^2+1",
    "[0,1)",
    "\\text{even}",
    "2\\sqrt{3}",
    "\\begin{pmatrix}1\\\\2\\end{pmatrix}",
]
LIMIT_S = 5.0
texts = st.text(max_size=80) | st.lists(st.sampled_from(PARTS), max_size=25).map("".join)


@pytest.fixture(scope="module", autouse=True)
def worker() -> None:
    assert warm_up()


@pytest.mark.slow
@given(texts, st.sampled_from(GOLDS) | texts)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_two_texts_have_a_verdict_in_time_whichever_comes_first(answer: str, gold: str) -> None:
    start = time.monotonic()
    extract(answer)
    verdicts = compare(answer, gold), compare(gold, answer)
    assert time.monotonic() - start < 2 * LIMIT_S
    assert verdicts[0].outcome == verdicts[1].outcome


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("\\sin(10,2)", "492"),
        ("+e\\sqrt{\\text{", "\\sin(-5, -4)"),
        ("\\log_left( -\\frac{2}{3}, -\\frac{7}{3}, \\frac{14}{9} \\right)", "1680"),
        ("\\dfrac{1}{29,\\!322%!216}", "1\\%lambda: 0"),
    ],
)
def test_what_a_million_strings_found(answer: str, gold: str) -> None:
    """Functions of too many values, and a factorial between whole numbers in thousands of bits (5 s once)."""
    for verdict in (compare(answer, gold), compare(gold, answer)):
        assert verdict.outcome == "ungradable"
        assert INTERNAL not in verdict.reason


@pytest.mark.slow
def test_the_benchmarks_fuzz_finds_nothing() -> None:
    tally = fuzz(GOLDS, 1500, seed=1)
    assert (tally.checked, tally.failed, tally.failures) == (1500, 0, [])
    assert sum(tally.outcomes.values()) == 1500


def touchy(text: str, gold: str) -> object:
    """A checker that raises on an exclamation mark."""
    if "!" in text:
        raise ValueError("touchy")
    return compare("1", "1")


def test_the_fuzz_would_find_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that raises is caught each time; so is one that is slow."""
    monkeypatch.setattr("benchmarks.answers_fuzz.compare", touchy)
    found = fuzz(GOLDS, 200, seed=7)
    assert found.failed == len(found.failures) > 5
    assert all(row["failure"] == "ValueError: touchy" and "!" in str(row["text"]) for row in found.failures)
    monkeypatch.setattr("benchmarks.answers_fuzz.LIMIT_S", -1.0)
    monkeypatch.setattr("benchmarks.answers_fuzz.WORK_S", -1.0)
    assert fuzz(GOLDS, 20, seed=7).failed == 20
    monkeypatch.setattr("benchmarks.answers_fuzz.compare", lambda text, gold: compare("1", "1"))
    monkeypatch.setattr("benchmarks.answers_fuzz.WORK_S", 60.0)
    stalled = fuzz(GOLDS, 20, seed=7)
    assert (stalled.failed, stalled.stalls) == (0, 20)
    monkeypatch.setattr("benchmarks.answers_fuzz.LIMIT_S", 5.0)
    monkeypatch.setattr("benchmarks.answers_fuzz.LIMIT_BYTES", 1)
    assert "GB" in str(fuzz(GOLDS, 1, seed=0).failures)


def test_a_fault_of_ours_costs_one_verdict_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redink.answers.checking.read", lambda text: {}[text])
    verdict = compare("x+1 of a fault", "y+2 of a fault")
    assert (verdict.outcome, verdict.reason) == ("ungradable", "the checker failed (KeyError)")
    assert fuzz(["x+1 of a fault"], 30, seed=2).failed > 0


def test_shares_of_a_fuzz_are_its_strings_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr("benchmarks.answers_fuzz.compare", lambda text, gold: checked.append(text) or compare("1", "1"))
    whole = fuzz(GOLDS, 31, seed=3)
    expected, checked[:] = sorted(checked), []
    shares = [fuzz(GOLDS, 31, seed=3, share=(part, 3)) for part in (1, 2, 3)]
    assert [share.checked for share in shares] == [11, 10, 10]
    assert sorted(checked) == expected
    assert total(shares).outcomes == whole.outcomes == {"right": 31}


def test_a_fuzz_that_was_stopped_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, checked = tmp_path / "tally.json", []

    def stops(text: str, gold: str) -> object:
        if len(checked) == 25:
            raise KeyboardInterrupt
        checked.append(text)
        return compare("1", "1")

    monkeypatch.setattr("benchmarks.answers_fuzz.SAVE_EVERY", 10)
    monkeypatch.setattr("benchmarks.answers_fuzz.compare", stops)
    with pytest.raises(KeyboardInterrupt):
        fuzz(GOLDS, 40, seed=3, file=file)
    assert read_tally(file, Tally(3, 40, (1, 1), len(GOLDS))).checked == 20
    assert read_tally(file, Tally(4, 40, (1, 1), len(GOLDS))).checked == 0
    monkeypatch.setattr("benchmarks.answers_fuzz.compare", lambda text, gold: checked.append(text) or compare("1", "1"))
    assert fuzz(GOLDS, 40, seed=3, file=file).outcomes == {"right": 40}
    assert checked[:20] + checked[25:] == [strings(GOLDS, 3, number)[0] for number in range(40)]


def test_memory_is_seen() -> None:
    held = bytearray(64 << 20)
    assert peak_bytes() > len(held)

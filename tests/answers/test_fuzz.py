"""No text makes extraction or comparison raise, hang, or judge an answer unequal to itself (the benchmark runs more)."""

from __future__ import annotations

import time

import pytest
from benchmarks.answers import _PARTS, fuzz, peak_bytes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redink.answers import compare, extract
from redink.answers.checking import warm_up

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
texts = st.text(max_size=80) | st.lists(st.sampled_from(_PARTS), max_size=25).map("".join)


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


@pytest.mark.slow
def test_the_benchmarks_fuzz_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz(GOLDS, 300, seed=1) == []
    assert "fuzz: 300 strings" in capsys.readouterr().out


def test_the_fuzz_would_find_something(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checker that raises on an exclamation mark is caught each time; so is one that is slow."""

    def touchy(text: str, gold: str) -> object:
        if "!" in text:
            raise ValueError("touchy")
        return compare("1", "1")

    monkeypatch.setattr("benchmarks.answers.compare", touchy)
    found = fuzz(GOLDS, 200, seed=7)
    assert len(found) > 5
    assert all(row["failure"] == "ValueError: touchy" and "!" in str(row["text"]) for row in found)
    monkeypatch.setattr("benchmarks.answers.FUZZ_LIMIT_S", -1.0)
    assert len(fuzz(GOLDS, 20, seed=7)) == 20


def test_memory_is_seen() -> None:
    held = bytearray(64 << 20)
    assert peak_bytes() > len(held)

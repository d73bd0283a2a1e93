"""The ledger: exact money, a hard stop, and nothing forgotten over a restart."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from redink.failures import Failure, Interrupted
from redink.models.chat import Usage
from redink.models.journal import Entry, Journal, call_key
from redink.models.ledger import Ledger, Price, Total

D = Decimal
PRICE = Price(prompt=D("0.15"), cached_prompt=D("0.075"), completion=D("0.60"), batch_discount=D("0.5"))
MILLION = 1_000_000


def usage(prompt: int = 0, cached: int = 0, completion: int = 0, reasoning: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, cached_tokens=cached, completion_tokens=completion, reasoning_tokens=reasoning)


@pytest.mark.parametrize(
    ("used", "via", "usd"),
    [
        (usage(MILLION), "online", "0.15"),
        (usage(MILLION, cached=MILLION), "online", "0.075"),
        (usage(MILLION, cached=400_000), "online", "0.12"),  # 0.6 · 0.15 + 0.4 · 0.075
        (usage(0, completion=MILLION, reasoning=MILLION), "online", "0.60"),  # reasoning is part of completion
        (usage(1, completion=1), "online", "7.5E-7"),  # (0.15 + 0.60) / 10⁶
        (usage(1, completion=1), "batch", "3.75E-7"),
        (usage(), "batch", "0"),
    ],
)
def test_a_cost_by_hand(used: Usage, via, usd: str) -> None:
    assert PRICE.cost(used, via) == D(usd)


def test_cached_tokens_cost_what_others_do_where_no_price_is_given() -> None:
    assert Price(prompt=D(2), completion=D(0)).cost(usage(MILLION, cached=MILLION)) == 2


@pytest.mark.parametrize("wrong", [{"prompt": D(-1)}, {"prompt": D("NaN")}, {"batch_discount": D("1.1")}])
def test_an_impossible_price_is_refused(wrong: dict[str, Decimal]) -> None:
    with pytest.raises(ValidationError):
        Price(**{"prompt": D(1), "completion": D(1)} | wrong)


money = st.decimals(0, 1000, places=6, allow_nan=False, allow_infinity=False)
prices = st.builds(
    Price,
    prompt=money,
    cached_prompt=st.none() | money,
    completion=money,
    batch_discount=st.decimals(0, 1, places=3),
)
usages = st.builds(
    lambda cached, more, completion: usage(cached + more, cached, completion), *[st.integers(0, 10**7)] * 3
)
tries = st.lists(
    st.tuples(st.sampled_from("ab"), usages, st.booleans(), st.sampled_from(["online", "batch"])), max_size=30
)


@given(prices, tries)
def test_the_sum_is_exact_and_the_same_in_any_order(price: Price, made) -> None:
    """Against rational arithmetic."""
    ledger, backwards = Ledger(None, {"a": price}), Ledger(None, {"a": price})
    for model, used, failed, via in made:
        ledger.charge("s", model, used, failed, via)
    for model, used, failed, via in reversed(made):
        backwards.charge("s", model, used, failed, via)
    cached = price.prompt if price.cached_prompt is None else price.cached_prompt
    expected = sum(
        (
            Fraction(price.prompt) * (used.prompt_tokens - used.cached_tokens)
            + Fraction(cached) * used.cached_tokens
            + Fraction(price.completion) * used.completion_tokens
        )
        / MILLION
        * (1 - Fraction(price.batch_discount) if via == "batch" else 1)
        for model, used, _, via in made
        if model == "a"
    )
    assert Fraction(ledger.spent) == expected
    assert ledger.spent == backwards.spent == sum((total.usd for total in ledger.totals()), D(0))
    assert ledger.totals() == backwards.totals()


@given(prices)
def test_a_price_survives_being_written(price: Price) -> None:
    assert Price.from_text(price.text) == price


def test_totals_count_failed_tries_and_replays() -> None:
    ledger = Ledger(None, {"m": PRICE})
    ledger.buy(b"", Entry(b"", usage(10, 4, 20, 5)), "thoughts", "m")
    ledger.charge("thoughts", "m", usage(10, 0, 2), failed=True)
    ledger.charge("thoughts", "m", usage(), failed=True)
    ledger.replayed("thoughts", "m", 3)
    ledger.replayed("pairs", "free")
    ledger.charge("pairs", "dear", usage(1))
    assert ledger.totals() == (
        Total(stage="pairs", model="dear", calls=1, prompt_tokens=1, priced=False),
        Total(stage="pairs", model="free", replayed=1),
        Total(
            stage="thoughts",
            model="m",
            calls=1,
            failed_tries=2,
            replayed=3,
            prompt_tokens=20,
            cached_tokens=4,
            completion_tokens=22,
            reasoning_tokens=5,
            usd=D("0.0000159"),  # (16 · 0.15 + 4 · 0.075 + 22 · 0.60) / 10⁶
        ),
    )


def test_the_budget_is_a_hard_stop() -> None:
    ledger = Ledger(None, {"m": PRICE}, max_usd=D("0.60"))
    ledger.charge("s", "m", usage(completion=MILLION - 1))
    ledger.refuse_over_budget("m")
    ledger.charge("s", "m", usage(completion=1), failed=True)
    with pytest.raises(Interrupted, match=r"spent: 0\.600000 of 0\.60 USD.* --max-usd"):
        ledger.refuse_over_budget("m")


def test_a_budget_of_nothing_buys_nothing_and_none_sets_no_limit() -> None:
    with pytest.raises(Interrupted):
        Ledger(max_usd=D(0)).refuse_over_budget()
    free = Ledger(prices={"m": PRICE})
    free.charge("s", "m", usage(10**12))
    free.refuse_over_budget("m")


def test_a_budget_needs_a_price() -> None:
    with pytest.raises(Failure, match="no price for 'other'"):
        Ledger(None, {"m": PRICE}, max_usd=D(1)).refuse_over_budget("other")


def test_the_projection_goes_on_as_it_went_so_far() -> None:
    ledger = Ledger(None, {"m": PRICE})
    assert ledger.projected(0, 10) == 0
    ledger.charge("s", "m", usage(completion=MILLION))
    assert ledger.projected(3, 10) == D(2)
    assert ledger.projected(0, 10) == D("0.60")


def test_a_restart_goes_on_from_what_the_run_had_spent(tmp_path: Path) -> None:
    """Bought at yesterday's price is bought at that price; another run of the same file has its own budget."""
    with Journal(tmp_path / "j.sqlite") as journal:
        first = Ledger(journal, {"m": PRICE}, run="one")
        first.buy(call_key("u", b"1"), Entry(b"1", usage(completion=MILLION)), "s", "m")
        first.charge("s", "m", usage(completion=MILLION), failed=True)
        first.charge("s", "later", usage(MILLION))
        Ledger(journal, {"m": PRICE}, run="two").charge("s", "m", usage(MILLION), via="batch")
    dearer = {"m": Price(prompt=D(100), completion=D(100)), "later": Price(prompt=D(3), completion=D(0))}
    with Journal(tmp_path / "j.sqlite") as journal:
        one, two = Ledger(journal, dearer, run="one"), Ledger(journal, dearer, run="two")
        assert (one.spent, two.spent) == (D("4.20"), D("0.075"))  # 2 · 0.60 + 3.00; half of 0.15
        assert [(total.model, total.calls, total.failed_tries) for total in one.totals()] == [
            ("later", 1, 0),
            ("m", 1, 1),
        ]
        one.charge("s", "m", usage(MILLION))
        assert one.spent == D("104.20")


def test_two_processes_of_a_run_share_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redink.models.ledger.LOOK_EVERY_S", 0.0)
    with Journal(tmp_path / "j.sqlite") as mine, Journal(tmp_path / "j.sqlite") as theirs:
        one, two = (Ledger(journal, {"m": PRICE}, max_usd=D("1")) for journal in (mine, theirs))
        for ledger in (one, two):
            ledger.charge("s", "m", usage(completion=MILLION))
        mine.flush()
        theirs.flush()
        for ledger in (one, two):
            with pytest.raises(Interrupted):
                ledger.refuse_over_budget("m")
            assert ledger.spent == D("1.20")


def test_an_entry_that_two_processes_read_from_one_batch_is_charged_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as mine, Journal(tmp_path / "j.sqlite") as theirs:
        for journal in (mine, theirs):
            entry = Entry(b"1", usage(completion=MILLION), via="batch")
            Ledger(journal, {"m": PRICE}).buy(call_key("u", b"1"), entry, "s", "m")
            journal.flush()
        assert Ledger(mine).spent == D("0.30")


def test_the_same_call_bought_online_by_two_processes_is_charged_twice(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as mine, Journal(tmp_path / "j.sqlite") as theirs:
        for journal in (mine, theirs):
            Ledger(journal, {"m": PRICE}).buy(call_key("u", b"1"), Entry(b"1", usage(completion=MILLION)), "s", "m")
            journal.flush()
        assert Ledger(mine).spent == D("1.20")


def test_a_damaged_charge_is_left_out_and_counted(tmp_path: Path) -> None:
    with Journal(tmp_path / "j.sqlite") as journal:
        ledger = Ledger(journal, {"m": PRICE})
        ledger.charge("s", "m", usage(completion=MILLION))
        ledger.charge("s", "m", usage(completion=MILLION))
    path = tmp_path / "j.sqlite"
    data = path.read_bytes()
    at = data.rindex((MILLION).to_bytes(3, "big"))
    path.write_bytes(data[:at] + b"\x7f" + data[at + 1 :])
    with Journal(path) as journal:
        assert Ledger(journal).spent == D("0.60")
        assert journal.damaged == 1


@pytest.mark.slow
def test_a_storm_of_threads_loses_no_charge(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with Journal(tmp_path / "j.sqlite") as journal:
        ledger = Ledger(journal, {"m": PRICE})
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: ledger.charge("s", "m", usage(number)), range(2000)))
        assert ledger.totals()[0].prompt_tokens == 2000 * 1999 // 2
    with Journal(tmp_path / "j.sqlite") as journal:
        assert Ledger(journal).totals()[0].prompt_tokens == 2000 * 1999 // 2

"""The ledger: what every try cost, exactly, and the hard stop when the budget is spent.

What is kept is tokens and the price they were bought at; money is worked out from sums of tokens, in Decimal, so no
order of additions and no change of prices can move a cent.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from functools import lru_cache

from pydantic import Field

from redink.failures import Failure, Interrupted
from redink.models.chat import Usage
from redink.models.journal import Charge, Entry, Journal, Via
from redink.types import Row

PER_TOKENS = 1_000_000
LOOK_EVERY_S = 1.0
EXACT = Context(prec=60)


class Price(Row):
    """What a model costs, in USD per million tokens."""

    prompt: Decimal = Field(ge=0, allow_inf_nan=False, description="Tokens sent that were not cached.")
    cached_prompt: Decimal | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Tokens sent that the server had cached; None: as others."
    )
    completion: Decimal = Field(ge=0, allow_inf_nan=False, description="Tokens received, reasoning included.")
    batch_discount: Decimal = Field(
        default=Decimal(0), ge=0, le=1, description="Share taken off a call through the Batch API; 0.5 halves it."
    )

    def cost(self, usage: Usage, via: Via = "online") -> Decimal:
        """USD, exact: (uncached · prompt + cached · cached_prompt + completion · completion) / 10⁶ · (1 − discount)."""
        per_cached = self.prompt if self.cached_prompt is None else self.cached_prompt
        with localcontext(EXACT):
            sent = (usage.prompt_tokens - usage.cached_tokens) * self.prompt + usage.cached_tokens * per_cached
            full = (sent + usage.completion_tokens * self.completion) / PER_TOKENS
            return full * (1 - self.batch_discount) if via == "batch" else full

    @property
    def text(self) -> str:
        """The price as charges keep it: prompt/cached/completion/discount."""
        cached = "" if self.cached_prompt is None else self.cached_prompt
        return f"{self.prompt}/{cached}/{self.completion}/{self.batch_discount}"

    @staticmethod
    @lru_cache(maxsize=64)
    def from_text(text: str) -> Price:
        """What `text` gave."""
        prompt, cached, completion, discount = text.split("/")
        return Price(
            prompt=Decimal(prompt),
            cached_prompt=Decimal(cached) if cached else None,
            completion=Decimal(completion),
            batch_discount=Decimal(discount),
        )


class Total(Row):
    """What one stage has asked of one model."""

    stage: str = Field(description="The stage that asked.")
    model: str = Field(description="The model's name.")
    calls: int = Field(default=0, ge=0, description="Replies bought.")
    failed_tries: int = Field(default=0, ge=0, description="Tries that gave no reply.")
    replayed: int = Field(default=0, ge=0, description="Replies taken from the journal since this process began.")
    prompt_tokens: int = Field(default=0, ge=0, description="Tokens sent, those of failed tries included.")
    cached_tokens: int = Field(default=0, ge=0, description="Tokens sent that the server had in its cache.")
    completion_tokens: int = Field(default=0, ge=0, description="Tokens received, reasoning included.")
    reasoning_tokens: int = Field(default=0, ge=0, description="Tokens received that are reasoning.")
    usd: Decimal = Field(default=Decimal(0), description="What it cost, as far as prices are known.")
    priced: bool = Field(default=True, description="False if a part was bought without a known price.")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What charges that are added up have in common."""

    stage: str
    model: str
    via: Via
    price: str
    failed: bool


@dataclass(slots=True)
class _Sum:
    tries: int = 0
    prompt: int = 0
    cached: int = 0
    completion: int = 0
    reasoning: int = 0

    def add(self, usage: Usage) -> None:
        self.tries += 1
        self.prompt += usage.prompt_tokens
        self.cached += usage.cached_tokens
        self.completion += usage.completion_tokens
        self.reasoning += usage.reasoning_tokens

    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=self.prompt,
            cached_tokens=self.cached,
            completion_tokens=self.completion,
            reasoning_tokens=self.reasoning,
        )


class Ledger:
    """What a run has spent, over all its processes and restarts if it has a journal; use it from any thread."""

    def __init__(
        self,
        journal: Journal | None = None,
        prices: Mapping[str, Price] | None = None,
        max_usd: Decimal | None = None,
        run: str = "",
    ) -> None:
        """Read what `run` has spent by the journal; `prices` are by model, and `max_usd` None sets no limit.

        Charges that were bought without a known price count at today's, if there is one by now.
        """
        self.max_usd = max_usd
        self.run = run
        self._journal = journal
        self._prices = dict(prices or {})
        self._writer = os.urandom(6).hex()
        self._sums: dict[_Kind, _Sum] = {}
        self._replayed: Counter[tuple[str, str]] = Counter()
        self._usd = Decimal(0)
        self._lock = threading.RLock()
        self._seen, self._looked = 0, float("-inf")
        self._look()

    @property
    def spent(self) -> Decimal:
        """USD so far, failed tries included."""
        return self._usd

    def buy(self, key: bytes, entry: Entry, stage: str, model: str) -> None:
        """Charge a reply and keep it in the journal, both in one transaction; raises `Failure` as `Journal.put`."""
        charge = self._charge(stage, model, entry.usage, False, entry.via)
        if self._journal:
            self._journal.put(key, entry, charge)

    def charge(self, stage: str, model: str, usage: Usage, failed: bool = False, via: Via = "online") -> None:
        """Charge a try that leaves no entry: one that failed, as a rule. `usage` as far as the server told it."""
        charge = self._charge(stage, model, usage, failed, via)
        if self._journal:
            self._journal.charge(charge)

    def replayed(self, stage: str, model: str, rows: int = 1) -> None:
        """Count replies that came from the journal and cost nothing."""
        with self._lock:
            self._replayed[stage, model] += rows

    def refuse_over_budget(self, model: str = "") -> None:
        """Call this before each new call: what was in flight then is all that can be spent beyond `max_usd`.

        Raises `Interrupted` when the budget is spent, `Failure` when it cannot be held: `model` has no price.
        """
        if self.max_usd is None:
            return
        if model and model not in self._prices:
            raise Failure(
                f"The budget of {self.max_usd} USD cannot be held: there is no price for {model!r}.",
                "Give its price in the recipe, or take the limit away.",
            )
        if time.monotonic() - self._looked > LOOK_EVERY_S:
            self._look()
        if self._usd >= self.max_usd:
            raise Interrupted(
                f"The budget is spent: {self._usd:.6f} of {self.max_usd} USD.",
                "Raise it with --max-usd and type the same command again: what was bought is kept.",
            )

    def totals(self) -> tuple[Total, ...]:
        """One row per stage and model, by name."""
        with self._lock:
            sums, replayed = tuple(self._sums.items()), dict(self._replayed)
        names = sorted({(kind.stage, kind.model) for kind, _ in sums} | replayed.keys())
        return tuple(self._total(name, sums, replayed.get(name, 0)) for name in names)

    def projected(self, done: int, total: int) -> Decimal:
        """USD for all `total` rows if those to come cost what the `done` ones did; what is spent while none is done."""
        return self._usd if done <= 0 else (self._usd * total / done).quantize(Decimal("1e-6"))

    def _charge(self, stage: str, model: str, usage: Usage, failed: bool, via: Via) -> Charge:
        price = self._prices.get(model)
        charge = Charge(self._writer, self.run, stage, model, via, price.text if price else "", failed, usage)
        with self._lock:
            self._add(charge)
        return charge

    def _add(self, charge: Charge) -> None:
        kind = _Kind(charge.stage, charge.model, charge.via, charge.price, charge.failed)
        self._sums.setdefault(kind, _Sum()).add(charge.usage)
        price = self._price(kind)
        if price:
            with localcontext(EXACT):
                self._usd += price.cost(charge.usage, charge.via)

    def _look(self) -> None:
        """Add what other processes, and earlier ones, have charged to this run."""
        self._looked = time.monotonic()
        with self._lock:
            for number, charge in self._journal.charges(self._seen) if self._journal else ():
                self._seen = number
                if charge.run == self.run and charge.writer != self._writer:
                    self._add(charge)

    def _price(self, kind: _Kind) -> Price | None:
        return Price.from_text(kind.price) if kind.price else self._prices.get(kind.model)

    def _total(self, name: tuple[str, str], sums: Iterable[tuple[_Kind, _Sum]], replayed: int) -> Total:
        stage, model = name
        mine = [(kind, tally) for kind, tally in sums if (kind.stage, kind.model) == name]
        prices = [self._price(kind) for kind, _ in mine]
        with localcontext(EXACT):
            costs = (
                price.cost(tally.usage(), kind.via) for price, (kind, tally) in zip(prices, mine, strict=True) if price
            )
            usd = sum(costs, Decimal(0))
        return Total(
            stage=stage,
            model=model,
            calls=sum(tally.tries for kind, tally in mine if not kind.failed),
            failed_tries=sum(tally.tries for kind, tally in mine if kind.failed),
            replayed=replayed,
            prompt_tokens=sum(tally.prompt for _, tally in mine),
            cached_tokens=sum(tally.cached for _, tally in mine),
            completion_tokens=sum(tally.completion for _, tally in mine),
            reasoning_tokens=sum(tally.reasoning for _, tally in mine),
            usd=usd,
            priced=all(prices),
        )

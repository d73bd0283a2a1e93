"""What a fake server is told: how slow it is, what it allows, how it breaks, what it charges.

Whatever is left to chance is drawn from (seed, request body, number of the try), so a storm can be had again.
"""

from __future__ import annotations

import re
from decimal import Decimal
from hashlib import blake2b
from math import exp
from statistics import NormalDist
from struct import unpack
from typing import Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from redink.types import Row

Fault = Literal["too_many", "server_error", "hang_up", "cut", "garbage", "stall", "silence"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
_TAG = re.compile(r"</?[A-Za-z]\w*>")
_LAST_ELEMENT = re.compile(r"<([A-Za-z]\w*)>(?:(?!<\1>).)*</\1>\s*\Z", re.DOTALL)
_APOLOGY = "I am sorry, but I cannot help with that."
_NORMAL = NormalDist()
_TINY = 1e-12


class Latency(Row):
    """How long a reply takes."""

    kind: Literal["constant", "lognormal"] = Field("constant", description="'lognormal' has a long tail.")
    median_s: float = Field(0.0, ge=0, description="Half of the replies are faster; for 'constant' all take this.")
    sigma: float = Field(0.5, ge=0, description="Standard deviation of the logarithm of seconds ('lognormal').")

    def seconds(self, share: float) -> float:
        """The latency that `share` (0 to 1) of all replies stay under."""
        if self.kind == "constant" or not self.median_s:
            return self.median_s
        return self.median_s * exp(self.sigma * _NORMAL.inv_cdf(min(max(share, _TINY), 1 - _TINY)))


class HiddenLimits(Row):
    """What the server allows; it does not say so unless told to."""

    requests_per_minute: float | None = Field(None, gt=0, description="None: no limit.")
    tokens_per_minute: float | None = Field(None, gt=0, description="Prompt and completion together. None: no limit.")
    kind: Literal["bucket", "sliding"] = Field(
        "bucket", description="'bucket' refills all the time; 'sliding' counts the last `window_s` seconds."
    )
    burst_s: float = Field(1.0, gt=0, description="A full bucket holds what refills in so many seconds.")
    window_s: float = Field(60.0, gt=0, description="Length of the sliding window.")
    retry_after: bool = Field(True, description="A 429 says when to come back (Retry-After).")
    headers: bool = Field(False, description="Every reply says what is allowed and left (x-ratelimit-*).")


class Faults(Row):
    """The share of tries that fail in each way, and the share of replies whose markup is broken."""

    too_many: float = Field(0.0, ge=0, le=1, description="429 without a limit having been reached.")
    server_error: float = Field(0.0, ge=0, le=1, description="500.")
    hang_up: float = Field(0.0, ge=0, le=1, description="The connection is closed without an answer.")
    cut: float = Field(0.0, ge=0, le=1, description="The connection is closed in the middle of the body.")
    garbage: float = Field(0.0, ge=0, le=1, description="200, but the body is no JSON.")
    stall: float = Field(0.0, ge=0, le=1, description="Half of the body, then nothing more.")
    silence: float = Field(0.0, ge=0, le=1, description="No answer at all.")
    malformed: float = Field(
        0.0, ge=0, le=1, description="A whole reply whose text cannot be read; the same request gets the same text."
    )

    @model_validator(mode="after")
    def _add_up(self) -> Faults:
        if sum(getattr(self, name) for name in FAULTS) > 1:
            raise ValueError("the shares of failed tries add up to more than 1")
        return self

    def pick(self, share: float) -> Fault | None:
        """The fault that stands at `share` (0 to 1) when all are laid end to end; None beyond them."""
        for name in FAULTS:
            share -= getattr(self, name)
            if share < 0:
                return name
        return None


class Tariff(Row):
    """What a million tokens cost, in USD."""

    prompt: Decimal = Field(Decimal(0), ge=0, description="Prompt tokens that were not cached.")
    cached_prompt: Decimal = Field(Decimal(0), ge=0, description="Prompt tokens that were.")
    completion: Decimal = Field(Decimal(0), ge=0, description="Completion tokens, reasoning included.")
    batch_discount: Decimal = Field(Decimal("0.5"), ge=0, le=1, description="Taken off what comes by the Batch API.")

    def usd(self, prompt: int, cached: int, completion: int, batched: bool = False) -> Decimal:
        """The exact price of a reply; `cached` is part of `prompt`."""
        full = self.prompt * (prompt - cached) + self.cached_prompt * cached + self.completion * completion
        return full * (1 - self.batch_discount if batched else 1) / 1_000_000


class BatchScript(Row):
    """How the Batch API behaves."""

    latency_s: float = Field(0.0, ge=0, description="Seconds from the creation of a batch to its end.")
    failed: float = Field(0.0, ge=0, le=1, description="Share of rows that end in the error file.")
    expired: float = Field(
        0.0, ge=0, le=1, description="Share of rows not done in time: the batch then ends 'expired'."
    )


class Script(Row):
    """Everything a fake server is told."""

    seed: int = Field(0, ge=0, lt=2**63, description="Chance is drawn from this, the body and the try's number.")
    latency: Latency = Field(default_factory=Latency, description="Of every whole reply.")
    limits: HiddenLimits = Field(default_factory=HiddenLimits, description="Broken by a request: 429.")
    faults: Faults = Field(default_factory=Faults, description="Of chat completions asked for one by one.")
    tariff: Tariff = Field(default_factory=Tariff, description="For the server's own bill.")
    batch: BatchScript = Field(default_factory=BatchScript, description="Of the Batch API.")
    cached_share: float = Field(0.0, ge=0, le=1, description="Share of prompt tokens reported as cached.")


class Chances(NamedTuple):
    """Independent numbers in [0, 1), one for each thing left to chance."""

    latency: float
    fault: float
    markup: float
    kind: float


def chances(seed: int, digest: bytes, number: int) -> Chances:
    """Those of try `number` (from 0) of the request with this digest; markup and kind are those of every try."""
    key = seed.to_bytes(8, "big")
    first, second = unpack("<2Q", blake2b(digest, digest_size=16, key=key, salt=number.to_bytes(8, "big")).digest())
    third, fourth = unpack("<2Q", blake2b(digest, digest_size=16, key=key, person=b"text").digest())
    return Chances(first / 2**64, second / 2**64, third / 2**64, fourth / 2**64)


def digest_of(body: bytes) -> bytes:
    """Eight bytes that stand for a request body."""
    return blake2b(body, digest_size=8).digest()


def malformed(text: str, share: float) -> str:
    """The text as a careless model would have written it, in one of three ways, none of which can be read.

    Without any tag; without its last element; with the first step misnumbered. A text of which nothing is left
    becomes an apology.
    """
    kind = int(share * 3)
    if kind == 0 and "<Step1>" in text:
        return text.replace("<Step1>", "<Step7>", 1).replace("</Step1>", "</Step7>", 1)
    if kind == 1:
        return _LAST_ELEMENT.sub("", text).strip() or _APOLOGY
    return _TAG.sub("", text).strip() or _APOLOGY

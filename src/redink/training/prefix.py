"""Preference pairs and lessons laid out without repetition: a pair is prefix + chosen + rejected, the prefix once.

A row is cut into segments. A segment's tokens see those before them in the segment and, where it is a branch, all of
the stem that it continues; nothing else. Positions in a branch go on where its stem ends, so every token has the
position, and sees the tokens, that it has in its own unshared sequence: the log-probabilities are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile
from typing import Any

import torch

IGNORED = -100


@dataclass(frozen=True)
class Segment:
    """Tokens [start, stop) of a row; a branch also sees [stem, stem + seen), which lie at the start of a segment."""

    start: int
    stop: int
    stem: int = 0
    seen: int = 0

    @property
    def length(self) -> int:
        """How many tokens it has of its own."""
        return self.stop - self.start

    @property
    def keys(self) -> int:
        """How many tokens its last token sees."""
        return self.seen + self.length

    @property
    def positions(self) -> range:
        """The position ids of its tokens."""
        return range(self.seen, self.keys)


@dataclass(frozen=True)
class Layout:
    """The segments of one row, in order and without gaps; `made` keeps what attention derives from them."""

    segments: tuple[Segment, ...]
    made: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def tokens(self) -> int:
        """The length of the row."""
        return self.segments[-1].stop if self.segments else 0

    @property
    def position_ids(self) -> list[int]:
        """One position per token of the row."""
        return list(chain.from_iterable(segment.positions for segment in self.segments))

    def stems(self) -> Iterator[int | None]:
        """For each segment the number of the segment that holds its stem, None where it has none."""
        number = {segment.start: index for index, segment in enumerate(self.segments)}
        return (number[segment.stem] if segment.seen else None for segment in self.segments)


@dataclass(frozen=True)
class PairTokens:
    """The token ids of a pair: the prompt (with the shared prefix of the reply) and the two sides that continue it."""

    prompt: Sequence[int]
    chosen: Sequence[int]
    rejected: Sequence[int]

    @property
    def common(self) -> int:
        """How many tokens both sides have in common at their start: they belong to the prefix too."""
        same = takewhile(lambda both: both[0] == both[1], zip(self.chosen, self.rejected, strict=False))
        return sum(1 for _ in same)

    @property
    def unshared(self) -> int:
        """How many tokens an ordinary trainer computes for this pair."""
        return 2 * len(self.prompt) + len(self.chosen) + len(self.rejected)


@dataclass(frozen=True)
class PackedRow:
    """A row ready for a model: what it reads, and which next tokens are scored at which of its places.

    `sides` has one list per side (all chosen, then all rejected): for each token of the side the number of the scored
    place that holds its log-probability. A token that both sides share is scored once and stands in both lists.
    """

    layout: Layout
    input_ids: list[int]
    scored: list[int]
    targets: list[int]
    sides: list[list[int]]


class _Writer:
    """Lays segments one after another."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.input_ids: list[int] = []
        self.scored: list[int] = []
        self.targets: list[int] = []

    def segment(self, ids: Sequence[int], stem: int = 0, seen: int = 0) -> int:
        """Append a segment (nothing if it is empty); returns where it starts."""
        start = len(self.input_ids)
        if ids:
            self.segments.append(Segment(start, start + len(ids), stem, seen))
            self.input_ids.extend(ids)
        return start

    def score(self, places: Sequence[int], targets: Sequence[int]) -> list[int]:
        """Score `targets` as the tokens after `places`; returns the numbers of the scored places."""
        first = len(self.scored)
        self.scored.extend(places)
        self.targets.extend(targets)
        return list(range(first, len(self.scored)))

    def row(self, sides: list[list[int]]) -> PackedRow:
        return PackedRow(Layout(tuple(self.segments)), self.input_ids, self.scored, self.targets, sides)


def pack_pairs(pairs: Sequence[PairTokens], share: bool = True) -> PackedRow:
    """Lay pairs out one after another in one row without padding; `share=False` writes each side out in full.

    Raises `ValueError` for a pair without a prompt: nothing would predict its first token.
    """
    if not all(pair.prompt for pair in pairs):
        raise ValueError("a pair needs at least one token of prompt")
    writer = _Writer()
    write = _write_shared if share else _write_apart
    sides = [write(writer, pair) for pair in pairs]
    return writer.row([chosen for chosen, _ in sides] + [rejected for _, rejected in sides])


def _write_shared(writer: _Writer, pair: PairTokens) -> tuple[list[int], list[int]]:
    """Prefix and chosen as one segment, then rejected as a branch of its start."""
    prompt, common = len(pair.prompt), pair.common
    seen = prompt + common
    start = writer.segment([*pair.prompt, *pair.chosen])
    branch = writer.segment(pair.rejected[common:], start, seen)
    chosen = writer.score(range(start + prompt - 1, start + prompt - 1 + len(pair.chosen)), pair.chosen)
    places = [start + seen - 1, *range(branch, branch + len(pair.rejected) - common)][: len(pair.rejected) - common]
    return chosen, chosen[:common] + writer.score(places, pair.rejected[common:])


def _write_apart(writer: _Writer, pair: PairTokens) -> tuple[list[int], list[int]]:
    """Both sides as sequences of their own, as an ordinary trainer has them (but without padding)."""
    chosen, rejected = (_write_side(writer, pair.prompt, side) for side in (pair.chosen, pair.rejected))
    return chosen, rejected


def _write_side(writer: _Writer, prompt: Sequence[int], side: Sequence[int]) -> list[int]:
    first = writer.segment([*prompt, *side]) + len(prompt) - 1
    return writer.score(range(first, first + len(side)), side)


def pack_lessons(rows: Sequence[tuple[Sequence[int], Sequence[int]]]) -> PackedRow:
    """Lay out (input_ids, labels) rows one after another; labels of −100 are not scored."""
    writer = _Writer()
    sides = []
    for ids, labels in rows:
        start = writer.segment(ids)
        places = [place for place, label in enumerate(labels) if label != IGNORED and place > 0]
        sides.append(writer.score([start + place - 1 for place in places], [labels[place] for place in places]))
    return writer.row(sides)


def row_tensors(row: PackedRow) -> dict[str, Any]:
    """What the model is called with: ids and positions (1, T), scored places and their targets (N,), the layout."""
    return {
        "input_ids": torch.tensor([row.input_ids]),
        "position_ids": torch.tensor([row.layout.position_ids]),
        "scored": torch.tensor(row.scored, dtype=torch.long),
        "targets": torch.tensor(row.targets, dtype=torch.long),
        "layout": row.layout,
    }


def side_table(sides: Sequence[Sequence[int]]) -> torch.Tensor:
    """(sides, longest side): the number of the scored place per token of a side, −1 where the side has ended."""
    width = max(1, max((len(side) for side in sides), default=1))
    return torch.tensor([[*side, *[-1] * (width - len(side))] for side in sides], dtype=torch.long)


@dataclass(frozen=True)
class PairCollator:
    """Rows with `prompt_ids`, `chosen_ids`, `rejected_ids` (and reference log-probabilities) → one packed batch.

    `lengths` (pairs, 3) comes first: its first dimension is the number of pairs, where a trainer looks for it.
    """

    share: bool = True

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch of these rows, in their order."""
        pairs = [pair_tokens(row) for row in rows]
        packed = pack_pairs(pairs, self.share)
        lengths = [[len(pair.prompt), len(pair.chosen), len(pair.rejected)] for pair in pairs]
        batch = {"lengths": torch.tensor(lengths)} | row_tensors(packed) | {"sides": side_table(packed.sides)}
        for name in ("ref_chosen_logps", "ref_rejected_logps"):
            if name in rows[0]:
                batch[name] = torch.tensor([row[name] for row in rows], dtype=torch.float64)
        return batch


@dataclass(frozen=True)
class LessonCollator:
    """Rows with `input_ids` and `labels` → one packed batch; `lengths` (lessons,) first, as in `PairCollator`."""

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch of these rows, in their order; `labels` (1, T) are for whoever counts the learnt tokens."""
        packed = pack_lessons([(row["input_ids"], row["labels"]) for row in rows])
        labels = [IGNORED] * packed.layout.tokens
        for place, target in zip(packed.scored, packed.targets, strict=True):
            labels[place + 1] = target
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        return {"lengths": lengths} | row_tensors(packed) | {"labels": torch.tensor([labels])}


def pair_tokens(row: Mapping[str, Any]) -> PairTokens:
    """The token ids of an encoded row (see `encoding.encode_pairs`)."""
    return PairTokens(row["prompt_ids"], row["chosen_ids"], row["rejected_ids"])

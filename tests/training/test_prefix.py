"""The layout: worked by hand once, then for any pairs: every side finds its tokens, positions and context again."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from redink.training.prefix import (
    LessonCollator,
    PackedRow,
    PairCollator,
    PairTokens,
    Segment,
    pack_lessons,
    pack_pairs,
    side_table,
)

ids = st.lists(st.integers(0, 3), max_size=6)  # few kinds of token: common starts are frequent
pairs = st.builds(PairTokens, st.lists(st.integers(0, 3), min_size=1, max_size=6), ids, ids)


def seen_from(row: PackedRow, place: int) -> list[int]:
    """By definition: the places that the token at `place` sees, itself last."""
    segment = next(s for s in row.layout.segments if s.start <= place < s.stop)
    return [*range(segment.stem, segment.stem + segment.seen), *range(segment.start, place + 1)]


def context(row: PackedRow, scored: int) -> list[int]:
    return [row.input_ids[place] for place in seen_from(row, row.scored[scored])]


def test_a_pair_by_hand() -> None:
    """Prompt 1 2, chosen 5 6 7, rejected 5 8: the 5 is common, the branch 8 goes on at position 3."""
    row = pack_pairs([PairTokens([1, 2], [5, 6, 7], [5, 8])])
    assert row.input_ids == [1, 2, 5, 6, 7, 8]
    assert row.layout.segments == (Segment(0, 5), Segment(5, 6, stem=0, seen=3))
    assert row.layout.position_ids == [0, 1, 2, 3, 4, 3]
    assert (row.scored, row.targets) == ([1, 2, 3, 2], [5, 6, 7, 8])  # 8 is predicted by the common 5
    assert row.sides == [[0, 1, 2], [0, 3]]


def test_a_pair_in_full_by_hand() -> None:
    row = pack_pairs([PairTokens([1, 2], [5, 6], [5])], share=False)
    assert row.input_ids == [1, 2, 5, 6, 1, 2, 5]
    assert row.layout.position_ids == [0, 1, 2, 3, 0, 1, 2]
    assert (row.scored, row.targets, row.sides) == ([1, 2, 5], [5, 6, 5], [[0, 1], [2]])


@given(st.lists(pairs, min_size=1, max_size=4), st.booleans())
def test_every_scored_token_is_predicted_from_its_own_unshared_sequence(some: list[PairTokens], share: bool) -> None:
    row = pack_pairs(some, share)
    wanted = [(pair, pair.chosen) for pair in some] + [(pair, pair.rejected) for pair in some]
    for side, (pair, tokens) in zip(row.sides, wanted, strict=True):
        assert [row.targets[number] for number in side] == list(tokens)
        for index, number in enumerate(side):
            assert context(row, number) == [*pair.prompt, *tokens[:index]]


@given(st.lists(pairs, min_size=1, max_size=4), st.booleans())
def test_segments_tile_the_row_and_positions_count_what_is_seen(some: list[PairTokens], share: bool) -> None:
    row = pack_pairs(some, share)
    places = [place for segment in row.layout.segments for place in range(segment.start, segment.stop)]
    assert places == list(range(len(row.input_ids))) == list(range(row.layout.tokens))
    assert row.layout.position_ids == [len(seen_from(row, place)) - 1 for place in places]


@given(st.lists(pairs, min_size=1, max_size=4))
def test_nothing_shared_is_computed_or_scored_twice(some: list[PairTokens]) -> None:
    row = pack_pairs(some)
    whole = sum(len(p.prompt) + len(p.chosen) + len(p.rejected) - p.common for p in some)
    assert row.layout.tokens == whole
    assert len(row.scored) == sum(len(p.chosen) + len(p.rejected) - p.common for p in some)


def test_a_pair_without_a_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token of prompt"):
        pack_pairs([PairTokens([], [1], [2])])


@pytest.mark.parametrize(
    ("chosen", "rejected", "common"), [([1, 2], [1, 3], 1), ([1, 2], [1, 2], 2), ([1, 2], [1], 1), ([], [1], 0), ([2], [3], 0)]
)  # fmt: skip
def test_the_common_start_of_both_sides(chosen: list[int], rejected: list[int], common: int) -> None:
    assert PairTokens([0], chosen, rejected).common == common


def test_unshared_tokens_are_those_of_both_sequences() -> None:
    assert PairTokens([1, 2, 3], [4, 5], [6]).unshared == 5 + 4


def test_lessons_stand_one_after_another_and_only_labels_are_scored() -> None:
    row = pack_lessons([([1, 2, 3], [-100, -100, 3]), ([4, 5], [4, 5])])
    assert row.input_ids == [1, 2, 3, 4, 5]
    assert row.layout.position_ids == [0, 1, 2, 0, 1]
    assert (row.scored, row.targets) == ([1, 3], [3, 5])  # nothing predicts the first token of a lesson


def test_a_batch_counts_its_pairs_first_and_pads_only_the_table_of_sides() -> None:
    rows = [
        {"prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [4], "ref_chosen_logps": -1.5, "ref_rejected_logps": -2},
        {"prompt_ids": [5], "chosen_ids": [6], "rejected_ids": [7], "ref_chosen_logps": -3.0, "ref_rejected_logps": -4},
    ]  # fmt: skip
    batch = PairCollator()(rows)
    assert next(iter(batch)) == "lengths"
    assert batch["lengths"].tolist() == [[1, 2, 1], [1, 1, 1]]
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert batch["sides"].tolist() == [[0, 1], [3, -1], [2, -1], [4, -1]]
    assert batch["ref_rejected_logps"].tolist() == [-2, -4]


def test_the_table_of_empty_sides_has_one_column() -> None:
    assert side_table([[], []]).tolist() == [[-1], [-1]]


def test_a_batch_of_lessons_labels_what_is_scored() -> None:
    rows = [{"input_ids": [1, 2, 3], "labels": [-100, 2, 3]}, {"input_ids": [4, 5], "labels": [4, 5]}]
    batch = LessonCollator()(rows)
    assert batch["labels"].tolist() == [[-100, 2, 3, -100, 5]]
    assert batch["lengths"].tolist() == [3, 2]
    assert torch.equal(batch["targets"], torch.tensor([2, 3, 5]))

"""What the teacher engine's benchmark reads out of the server's counts, against counts made up by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.teacher_engine import QUICK, full_for, pressed, settling


@pytest.mark.parametrize(
    ("seconds", "after_s"),
    [
        ([[25, 0]] * 12, 0),
        ([[10, 40]] * 3 + [[25, 0]] * 12, 3),  # from second 2 on it is 10 + 4 · 25 = 110, and 112.5 are wanted
        ([[15, 0]] * 3 + [[25, 0]] * 12, 2),  # from second 2 on it is 15 + 4 · 25 = 115
        ([[25, 0]] * 6 + [[25, 3]] + [[25, 0]] * 6, 7),  # 3 of 128 refused are more than 2 %
        ([[25, 0]] * 6 + [[25, 2]] + [[25, 0]] * 6, 0),  # 2 of 127 are not
        ([[25, 0]] * 9 + [[0, 1]] * 5, 14),  # never
    ],
)
def test_it_has_settled_when_all_spans_from_there_on_are_good(seconds: list[list[int]], after_s: float) -> None:
    """25 a second are allowed: 90 % of it is wanted in each five seconds, with at most 2 % refused."""
    assert settling(seconds, 25) == after_s


@pytest.mark.parametrize(
    ("served", "allowed", "full_s"),
    [
        ([10] * 60 + [0] * 40, 300, 31),  # 600 - 10 for each second that goes by: 300 are left after 30, still full
        ([10] * 60 + [0] * 40, 601, 0),
        ([10] * 60 + [5] * 40, 300, 40),  # as many come as go
    ],
)
def test_a_sliding_window_is_full_while_it_holds_more_than_is_allowed(
    served: list[int], allowed: float, full_s: float
) -> None:
    assert full_for(served, allowed) == full_s


def test_a_hidden_limit_is_read_from_the_servers_seconds() -> None:
    """3,000 a minute; 2 s do not count, then 4 s of 49 served and 1 refused a second, then 8 s at half of it."""
    sizes = replace(QUICK, per_minute=3000, first_s=2, then_s=4, halved_s=8)
    seconds = {second: [50, 50] for second in (100, 101)}
    seconds |= {second: [49, 1] for second in range(102, 106)}
    seconds |= {second: [25, 0] for second in range(106, 114)}
    found = pressed(seconds, {"start": 100.2, "halved": 106.3, "stop": 114.4, "lost": 0}, sizes)
    assert found.share_of_allowed == pytest.approx(0.98)
    assert found.share_429 == pytest.approx(0.02)
    assert (found.settle_s, found.blocked_s, found.lost) == (0, 0, 0)

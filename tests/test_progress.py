"""Progress: a plain line now and then in logs, a bar with rate and time left on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from redink import progress as module
from redink.progress import progress, quiet


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_log_gets_a_line_at_most_every_15_seconds_with_rate_and_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """40 of 100 after 20 s is 2.0/s, so 60 more take 30 s; 70 after 40 s is 1.75/s, 30 more take 17 s."""
    with progress("solving", 100, "problems") as advance:
        clock.now += 10
        advance(20)
        assert capsys.readouterr().err == ""
        clock.now += 10
        advance(20)
        assert capsys.readouterr().err == "solving: 40/100 problems, 2.0/s, 30 s left\n"
        clock.now += 14
        advance(10)
        assert capsys.readouterr().err == ""
        clock.now += 6
        advance(20, note="loss 0.5")
        assert capsys.readouterr().err == "solving: 70/100 problems, 1.8/s, 17 s left loss 0.5\n"


def test_rows_that_were_done_before_do_not_count_into_the_rate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("solving", 100, done=50) as advance:
        clock.now += 20
        advance(10)
    assert capsys.readouterr().err == "solving: 60/100 rows, 0.5/s, 80 s left\n"


def test_no_rate_yet_is_no_division_by_zero(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with progress("solving", 100) as advance:
        clock.now += 20
        advance(0)
    assert capsys.readouterr().err == "solving: 0/100 rows, 0.0/s, inf s left\n"


def test_a_terminal_gets_a_bar_with_the_rate_and_the_note(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        module, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=150, color_system=None)
    )
    with progress("solving", 4, "problems", done=1) as advance:
        advance(1, note="loss 0.5")
        advance(2, note="loss 0.4")
    shown = screen.getvalue()
    assert "solving" in shown
    assert "4/4" in shown
    assert "problems" in shown
    assert "loss 0.4" in shown
    assert "/s" in shown


def test_a_note_is_asked_for_when_a_line_is_shown(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[tuple[int, int]] = []

    def note(done: int, total: int) -> str:
        asked.append((done, total))
        return f"${done} spent"

    with progress("thoughts", 100, done=10, note=note) as advance:
        for _ in range(4):
            clock.now += 5
            advance(10)
    assert capsys.readouterr().err == "thoughts: 40/100 rows, 2.0/s, 30 s left, $40 spent\n"
    assert asked == [(40, 100)]


def test_a_bar_is_redrawn_now_and_then_and_ends_complete(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand rows within a second are ten redrawings or so, and the last row is shown."""
    screen, asked = io.StringIO(), list[int]()
    monkeypatch.setattr(
        module, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=150, color_system=None)
    )

    def note(done: int, total: int) -> str:
        asked.append(done)
        return f"${done} spent"

    with progress("thoughts", 1000, note=note) as advance:
        for _ in range(1000):
            clock.now += 0.001
            advance()
    assert len(asked) <= 12
    assert asked[-1] == 1000
    assert "$1000 spent" in screen.getvalue() and "1000/1000" in screen.getvalue()


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    quiet(3, "note")
    assert capsys.readouterr() == ("", "")

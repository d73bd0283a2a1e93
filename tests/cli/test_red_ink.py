"""What the terminal shows of a solution and its reviews."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from redink.cli.red_ink import VERDICTS, Ink
from redink.solving.solved import Event, Solved

SOLUTION = "<Step1>47 + 38<Key>47 + 30 = 77</Key></Step1>\n<Step2>85 - 20 = 75</Step2>\n<Answer>75</Answer>"
REVIEW = (
    "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75<Cause>20 from 85 [bold] leaves 65.</Cause>"
    "<Correction>85 - 20 = 65</Correction></Step2>\n<Answer>65</Answer>"
)


def shown(*pieces: tuple[str, int, str], colour: bool = False, answer: str = "65") -> str:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=colour, color_system="standard" if colour else None)
    ink = Ink(console, "tiny")
    for kind, number, text in pieces:
        ink.show(Event(kind=kind, round=number, text=text))  # type: ignore[arg-type]
    solved = Solved(question="?", prompt="?", text=SOLUTION, answer="75", final_answer=answer, stopped="rounds")
    ink.show(Event(kind="done", solved=solved))
    return out.getvalue()


def test_tags_are_layout_and_the_error_stands_with_cause_and_correction() -> None:
    text = shown(("solution", 0, SOLUTION), ("correction", 1, REVIEW))
    assert "<" not in text
    assert "1. 47 + 38\n   47 + 30 = 77\n" in text
    line = next(line for line in text.splitlines() if "✗" in line)
    assert "85 - 20 = 75" in line
    assert "why: 20 from 85 [bold] leaves 65." in line
    assert "now: 85 - 20 = 65" in text
    assert "✓ 1. 47 + 38 = 85" in text
    assert "final: 65" in text
    assert VERDICTS["rounds"] in text


def test_the_wrong_step_is_struck_in_red() -> None:
    text = shown(("correction", 1, REVIEW), colour=True)
    assert "\x1b[9;31m85 - 20 = 75" in text  # 9: struck, 31: red


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=40))
def test_how_the_text_is_cut_into_pieces_makes_no_difference(sizes: list[int]) -> None:
    def cut(kind: str, number: int, text: str) -> list[tuple[str, int, str]]:
        pieces, place = [], 0
        for size in [*sizes, len(text)]:
            pieces.append((kind, number, text[place : place + size]))
            place += size
        return [piece for piece in pieces if piece[2]]

    for solution in (SOLUTION, "two\nlines\n\nand 3 < 4"):
        whole = shown(("solution", 0, solution), ("correction", 1, REVIEW))
        assert shown(*cut("solution", 0, solution), *cut("correction", 1, REVIEW)) == whole


@pytest.mark.parametrize(
    "text", ["The answer is 5 < 6.", "no tags", "two\nlines\n\nand more", "<Step1>open", "<weird> tags </weird>"]
)
def test_other_texts_are_shown_as_they_are(text: str) -> None:
    assert text.replace("<Step1>", "") in shown(("solution", 0, text)).replace("\n1. ", "")


@pytest.mark.parametrize("cut", [False, True])
def test_a_reply_that_was_cut_is_said_to_be(cut: bool) -> None:
    out = io.StringIO()
    solved = Solved(question="?", prompt="?", text="1", stopped="off", truncated=cut)
    Ink(Console(file=out, width=100), "tiny").show(Event(kind="done", solved=solved))
    assert ("--max-new-tokens" in out.getvalue()) is cut


def test_a_review_without_steps_is_shown_as_it_is() -> None:
    assert "I think it is fine." in shown(("correction", 1, "I think it is fine."))

"""A solution and its reviews on the terminal as they come: the wrong step struck in red, the correction beside it."""

from __future__ import annotations

import re

from rich.console import Console
from rich.table import Table
from rich.text import Text

from redink.failures import MarkupFailure
from redink.markup import parse_steps, parse_trace
from redink.solving.solved import Event, Solved
from redink.types import LocatedError, Step

_TAG = re.compile(r"<(?P<close>/?)(?P<name>Step|Key|Generali[sz]ed|Answer)\s?(?P<number>\d{0,4})>", re.IGNORECASE)
_STEP_ENDS = re.compile(r"</Step\s?\d{0,4}>", re.IGNORECASE)
_LONGEST_TAG = 24
_LEADS = {"key": "\n   ", "generalized": "\n", "generalised": "\n", "answer": "\nanswer: "}
_STYLES = {"key": "dim", "generalized": "italic dim", "generalised": "italic dim", "answer": "bold"}
VERDICTS = {
    "confirmed": "its review leaves the answer as it is",
    "corrected": "a later review leaves the corrected answer as it is",
    "rounds": "no round is left to look at the last correction",
    "unreadable": "its last review cannot be read; what stood before stands",
    "off": "no review was asked for",
}


class Ink:
    """Shows the events of one question in their order."""

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name
        self._round = -1
        self._held, self._style, self._newlines = "", "", ""
        self._beside_tag = True
        self._review = ""
        self._steps_shown = 0

    def show(self, event: Event) -> None:
        """The next event."""
        if event.kind == "done":
            self._end_part()
            if event.solved is not None:
                self._conclude(event.solved)
            return
        if event.round != self._round:
            self._end_part()
            self._begin(event.round)
        (self._solution if event.kind == "solution" else self._correction)(event.text)

    def _begin(self, number: int) -> None:
        self._round, self._review, self._steps_shown = number, "", 0
        title = f"solution ({self.name})" if number == 0 else f"self-correction, round {number}"
        self.console.rule(Text(title))

    def _end_part(self) -> None:
        if self._round == 0:
            self._write(self._held)
            self.console.print()
        elif self._round > 0:
            self._end_review()
        self._held, self._style, self._newlines, self._beside_tag = "", "", "", True

    def _solution(self, piece: str) -> None:
        """Print what is certain not to be half a tag."""
        self._held += piece
        place = 0
        for tag in _TAG.finditer(self._held):
            self._write(self._held[place : tag.start()])
            self._enter(tag)
            place = tag.end()
        self._held = self._held[place:]
        opening = self._held.rfind("<")
        if opening < 0 or len(self._held) - opening > _LONGEST_TAG:
            opening = len(self._held)
        self._write(self._held[:opening])
        self._held = self._held[opening:]

    def _enter(self, tag: re.Match[str]) -> None:
        name = tag["name"].lower()
        self._newlines, self._beside_tag = "", True
        if tag["close"]:
            self._style = ""
        elif name == "step":
            self.console.print(Text(f"\n{tag['number'] or '·'}. ", style="bold"), end="")
        else:
            self._style = _STYLES[name]
            self.console.print(Text(_LEADS[name]), end="")

    def _write(self, text: str) -> None:
        """Print text between tags; newlines beside a tag are its layout, which is ours."""
        text = self._newlines + text
        if self._beside_tag:
            text = text.lstrip("\n")
        shown = text.rstrip("\n")
        self._newlines = text[len(shown) :]
        if shown:
            self._beside_tag = False
            self.console.print(Text(shown, style=self._style), end="", soft_wrap=True)

    def _correction(self, piece: str) -> None:
        """Show each step of the review once it is whole, since its cause comes after its text."""
        self._review += piece
        whole = [match.end() for match in _STEP_ENDS.finditer(self._review)]
        if len(whole) > self._steps_shown:
            self._show_steps(self._review[: whole[-1]])

    def _show_steps(self, text: str) -> None:
        error = marked(text)
        for step in parse_steps(text)[self._steps_shown :]:
            self.console.print(corrected_step(step, error if error and error.step == step.number else None))
            self._steps_shown += 1

    def _end_review(self) -> None:
        self._show_steps(self._review)
        if not self._steps_shown:
            self.console.print(Text(self._review, style="dim"), soft_wrap=True)

    def _conclude(self, solved: Solved) -> None:
        self.console.rule()
        answers = [solved.answer, *(review.answer for review in solved.rounds)]
        line = Text("answer: " + " → ".join(answer or "–" for answer in answers))
        line.append(f"   final: {solved.final_answer or '–'}", style="bold")
        line.append(f"\n{VERDICTS[solved.stopped]}", style="dim")
        if solved.truncated or any(review.truncated for review in solved.rounds):
            line.append("\na reply was cut at its longest; --max-new-tokens allows more", style="yellow")
        self.console.print(line, soft_wrap=True)


def marked(review: str) -> LocatedError | None:
    """The error that the part of a review that has come marks; its answer has not come yet."""
    try:
        return parse_trace(f"{review}\n<Answer>?</Answer>").error
    except MarkupFailure:
        return None


def corrected_step(step: Step, error: LocatedError | None) -> Table | Text:
    """A step as it is, or struck in red with cause and correction beside it."""
    written = step.text if step.key is None else f"{step.text}  [{step.key}]"
    if error is None:
        return Text.assemble(("✓ ", "green"), (f"{step.number}. ", "bold"), written)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(
        Text.assemble(("✗ ", "red"), (f"{step.number}. ", "bold red"), (written, "red strike")),
        Text.assemble(("why: ", "bold"), (error.cause, "red"), "\n", ("now: ", "bold"), (error.correction, "green")),
    )
    return grid

"""The page at `/`: ask a question, watch the red ink appear. Its looks, scripts and policy are the report's."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from redink.report import page as report
from redink.report.html import Html, element, joined
from redink.serving.schema import MOST_ROUNDS

ASSETS = Path(__file__).parent / "assets"
_BORROWED_STYLES, _BORROWED_SCRIPTS = ("fonts.css", "katex.css", "report.css"), ("katex.js", "ink.js")


@cache
def styles() -> tuple[str, ...]:
    """The report's style sheets, then ours."""
    return (*map(report.asset, _BORROWED_STYLES), _own("ask.css"))


@cache
def scripts() -> tuple[str, ...]:
    """The report's scripts that read and set texts, then ours."""
    return (*map(report.asset, _BORROWED_SCRIPTS), _own("ask.js"))


def _own(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


@cache
def policy() -> str:
    """The Content-Security-Policy: these scripts and styles by hash, this server, nothing else."""
    return report.policy_of(scripts(), styles(), served=True)


@cache
def render(model: str, rounds: int, needs_token: bool) -> str:
    """The whole page as text."""
    settings = {"model": model, "rounds": rounds, "token": needs_token}
    head = joined((
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", "redink"),
        element("link", rel="icon", href="data:,"),
        *(element("style", Html(text)) for text in styles()),
    ))  # fmt: skip
    work = element("div", id="work", class_="case", aria_live="polite")
    body = joined((
        element("a", "To the question", href="#question", class_="skip"),
        _top(model),
        element("main", _form(rounds, needs_token), work, id="main"),
        element("script", Html(report.as_data(settings)), type="application/json", id="settings"),
        *(element("script", Html(text)) for text in scripts()),
    ))  # fmt: skip
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def _top(model: str) -> Html:
    brand = element("a", "redink", href="/", class_="brand")
    theme = element("button", "Theme", type="button", id="theme", title="Light or dark")
    name = element("span", model, class_="eyebrow", dir="auto")
    return element("header", brand, name, element("div", theme, class_="tools"), class_="top")


def _form(rounds: int, needs_token: bool) -> Html:
    asked: dict[str, Any] = {
        "id": "question", "name": "question", "rows": 3, "required": True, "dir": "auto", "spellcheck": "false",
        "placeholder": "Tom has 14 apples. He buys 27 more. How many apples does Tom have now?",
    }  # fmt: skip
    most = max(rounds, min(3, MOST_ROUNDS))
    choices = [
        element("option", _rounds(number), value=number, selected=number == rounds) for number in range(most + 1)
    ]
    token = element("label", "Token", element("input", type="password", name="token", autocomplete="off"))
    row = joined((
        element("label", "Self-correction", element("select", *choices, name="rounds")),
        token if needs_token else None,
        element("button", "Solve", type="submit", id="solve"),
        element("button", "Stop", type="button", id="stop", hidden=True),
    ))  # fmt: skip
    return element(
        "form",
        element("label", "A question", element("textarea", **asked), class_="wide"),
        element("div", row, class_="row"),
        element("noscript", element("p", "This page needs JavaScript; POST /v1/chat/completions does not.")),
        id="ask",
        class_="ask",
    )


def _rounds(number: int) -> str:
    return ("none", "one round")[number] if number < 2 else f"up to {number} rounds"

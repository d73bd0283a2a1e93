"""The page: one HTML file that needs nothing else, and lets nothing else in.

Scripts and style sheets are ours, inlined and named by their hashes in the Content-Security-Policy; texts reach the
page as JSON and become text nodes (the policy forbids every other way, Trusted Types included).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from redink.report.figures import Figure, Table
from redink.report.html import Html, element, joined

ASSETS = Path(__file__).parent / "assets"
STYLES = ("fonts.css", "katex.css", "report.css")
SCRIPTS = ("katex.js", "ink.js", "report.js")


@dataclass(frozen=True)
class Page:
    """What a page is made of."""

    title: str
    subtitle: str
    lead: Html
    """Headline and verdicts."""
    figures: Sequence[Figure]
    colophon: Html
    settings: dict[str, Any]
    """What the script is told: names of models, outcomes, whether a server answers."""
    form: Html
    cases: Sequence[dict[str, Any]] | None
    """The cases to inline; None where a server has them."""


@cache
def asset(name: str) -> str:
    """A file that is inlined; raises `ValueError` if it could end the element that it stands in."""
    text = (ASSETS / name).read_text("utf-8")
    if "</script" in text.lower() or "</style" in text.lower():
        raise ValueError(f"{name} holds an end tag")
    return text


@cache
def policy(served: bool) -> str:
    """The Content-Security-Policy: our own scripts and styles by hash, data: for fonts and pictures, nothing else."""
    return policy_of([asset(name) for name in SCRIPTS], [asset(name) for name in STYLES], served)


def policy_of(scripts: Sequence[str], styles: Sequence[str], served: bool) -> str:
    """The policy of a page that inlines these texts, and may ask its own server if it is `served`."""
    parts = (
        "default-src 'none'",
        f"script-src {' '.join(map(_hash, scripts))}",
        f"style-src {' '.join(map(_hash, styles))}",
        "font-src data:",
        "img-src data:",
        f"connect-src {chr(39)}self{chr(39)}" if served else "connect-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    return "; ".join(parts)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def render(page: Page) -> str:
    """The whole page as text."""
    served = page.cases is None
    head = joined((
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy(served)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{page.title} · redink"),
        *(element("style", Html(asset(name))) for name in STYLES),
    ))  # fmt: skip
    data = None if page.cases is None else element("script", Html(packed(page.cases)), type="text/plain", id="cases")
    body = joined((
        element("a", "To the content", href="#main", class_="skip"),
        _top(page),
        element("main", _figures(page), _desk(page), id="main"),
        _help(),
        element("script", Html(as_data(page.settings)), type="application/json", id="settings"),
        data,
        *(element("script", Html(asset(name))) for name in SCRIPTS),
    ))  # fmt: skip
    return f"<!doctype html>\n{element('html', element('head', head), element('body', body), lang='en')}\n"


def as_data(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def packed(cases: Sequence[dict[str, Any]]) -> str:
    """Cases as gzip in base64: an alphabet without markup, and an eighth of the size."""
    return base64.b64encode(gzip.compress(as_data(cases).encode(), 9, mtime=0)).decode()


def _top(page: Page) -> Html:
    links = joined((
        element("a", "Figures", href="#figures", id="to-figures", aria_current="true"),
        element("a", "Marked work", href="#work=1", id="to-work"),
    ))  # fmt: skip
    tools = joined((
        element("button", "Theme", type="button", id="theme", title="Light or dark"),
        element("button", "Keys", type="button", id="keys"),
    ))  # fmt: skip
    brand = element("a", "redink", href="#figures", class_="brand")
    return element(
        "header", brand, element("nav", links, aria_label="Views"), element("div", tools, class_="tools"), class_="top"
    )


def _figures(page: Page) -> Html:
    lead = element("section", element("p", page.subtitle, class_="eyebrow"), page.lead, class_="lead")
    return element("div", lead, *map(_figure, page.figures), page.colophon, id="figures")


def _figure(figure: Figure) -> Html:
    note = element("span", figure.note, class_="fine") if figure.note else None
    numbers = element("details", element("summary", "The numbers"), table(figure.table), class_="numbers")
    return element(
        "section",
        element("h2", figure.title),
        element("p", figure.words, note, class_="words"),
        element("div", figure.legend, figure.chart, numbers, class_="plot"),
        class_="figure",
        id=f"figure-{figure.name}",
    )


def table(shown: Table) -> Html:
    """A table; its first column names the row, columns of numbers stand right."""
    head = element("tr", *(element("th", name, scope="col") for name in shown.columns))
    rows = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:]))
        for row in shown.rows
    ]
    return element(
        "div", element("table", element("thead", head), element("tbody", *rows)), class_="scroll", tabindex=0
    )


def _desk(page: Page) -> Html:
    pager = joined((
        element("output", "Reading …", id="count", aria_live="polite"),
        element("button", "‹", type="button", id="earlier", aria_label="Earlier page", disabled=True),
        element("button", "›", type="button", id="later", aria_label="Later page", disabled=True),
    ))  # fmt: skip
    finder = element(
        "div",
        page.form,
        element("div", pager, class_="tally"),
        element("ol", id="hits", class_="hits"),
        class_="finder",
    )
    without = element(
        "noscript", element("p", "The marked work needs JavaScript; the figures above do not.", class_="empty")
    )
    article = element("article", without, id="case", class_="case", aria_live="off")
    return element("div", finder, article, id="desk", class_="desk", hidden=True)


KEYS = (
    ("/", "search"),
    ("j k", "later, earlier problem"),
    ("1 … 9", "solution"),
    ("f w", "figures, marked work"),
    ("?", "this list"),
)


def _help() -> Html:
    rows = [piece for keys, what in KEYS for piece in (element("dt", element("kbd", keys)), element("dd", what))]
    close = element("form", element("button", "Close"), method="dialog")
    return element("dialog", element("h2", "Keys"), element("dl", *rows), close, id="help", aria_label="Keys")

"""From run directories to a report: what goes on the page, and which cases are inlined."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from redink.progress import Advance, quiet
from redink.report.archive import Archive
from redink.report.cases import OUTCOMES, as_shown
from redink.report.catalogue import Catalogue
from redink.report.changes import CHANCE, Change, Look, chance, change
from redink.report.figures import label, lines_of, percent, run_figures
from redink.report.files import RunFiles, read_run
from redink.report.html import Html, element, joined
from redink.report.page import Page, render
from redink.rows import slug, write_text

INLINED_BYTES = 12_000_000
LOOKS: dict[Look, str] = {"t1": "at the first try", "t2": "after its own review"}
SET_NAMES = {
    "evaluation": "held out",
    "errors": "for mistakes",
    "thoughts": "for lessons",
}


class Report(NamedTuple):
    """What was written."""

    path: Path
    problems: int
    shown: int
    faults: tuple[str, ...]


def write_report(
    folder: Path, to: Path | None = None, inlined: int = INLINED_BYTES, advance: Advance = quiet
) -> Report:
    """Write the report of a run directory, `report.html` in it unless `to` says otherwise.

    At most `inlined` bytes of cases (before compression) are in it. Raises `BadInput` if `folder` is no run directory,
    `Failure` if the file cannot be written.
    """
    files = read_run(folder)
    with Archive({"": folder}) as archive:
        catalogue = Catalogue(archive, advance)
        cases = drawn_cases(archive, inlined)
        page = run_page(files, catalogue, archive.faults, cases)
        path = to or folder / "report.html"
        write_text(path, render(page))
        return Report(path, len(catalogue.lines), len(cases), tuple(archive.faults))


def run_page(
    files: RunFiles, catalogue: Catalogue, faults: Sequence[str], cases: Sequence[dict[str, Any]] | None
) -> Page:
    """The page of one run; `cases` are inlined, None where a server has them."""
    changes = _changes(files, catalogue)
    return Page(
        title=files.name,
        subtitle=_subtitle(files),
        lead=joined((element("h1", headline(changes) or _figures_said(files)), verdicts(changes), _caveat(files))),
        figures=run_figures(files, catalogue),
        colophon=colophon([files], faults, drawn_words(catalogue, cases)),
        settings=settings(catalogue, served=cases is None),
        form=search_form(catalogue),
        cases=cases,
    )


def _changes(files: RunFiles, catalogue: Catalogue) -> Changes:
    """Each model against the one before it, on each benchmark."""
    groups = files.results.by_benchmark if files.results else {}
    made = []
    for name, panels in groups.items():
        lines = lines_of(catalogue, name)
        for before, after in pairwise(panel.model for panel in panels):
            words = f"{label(before)} → {label(after)}{f' on {name}' if len(groups) > 1 else ''}"
            made.append((words, {look: change(lines, slug(before), slug(after), look) for look in LOOKS}))
    return made


def settings(catalogue: Catalogue, served: bool) -> dict[str, Any]:
    """What the page's script is told."""
    facets = catalogue.facets()
    return {"outcomes": OUTCOMES, "names": {model: label(model) for model in facets["models"]}, "served": served}


# --- which cases ----------------------------------------------------------------------------------------------------


def drawn_cases(archive: Archive, most_bytes: int) -> list[dict[str, Any]]:
    """Cases of every set, up to `most_bytes` of JSON: all, or a draw by the hash of the name, the same each time.

    Each set gets an equal share, and what one does not need goes to the next larger.
    """
    by_set: dict[str, list[str]] = {}
    for name, folder in archive.folders.items():
        by_set.setdefault(folder.set, []).append(name)
    chosen, left = dict[str, dict[str, Any]](), most_bytes
    for place, names in enumerate(sorted(by_set.values(), key=len)):
        left -= _take(archive, names, left // (len(by_set) - place), chosen)
    return [chosen[name] for name in archive.folders if name in chosen]


def _take(archive: Archive, names: Sequence[str], most: int, chosen: dict[str, dict[str, Any]]) -> int:
    """Add cases until they would be more than `most` bytes; returns the bytes added."""
    taken = 0
    for case in archive.cases(sorted(names, key=_draw)):
        shown = as_shown(case)
        size = len(json.dumps(shown))
        if taken + size > most:
            break
        taken += size
        chosen[case.problem.id] = shown
    return taken


def _draw(name: str) -> bytes:
    return hashlib.blake2b(name.encode(errors="replace"), digest_size=8).digest()


def drawn_words(catalogue: Catalogue, cases: Sequence[dict[str, Any]] | None) -> str:
    """What the page says of the problems that it leaves out."""
    whole = len(catalogue.lines)
    if cases is None or len(cases) == whole:
        return f"All {whole:,} problems are here."
    return (
        f"{len(cases):,} of {whole:,} problems are here, drawn by the hash of their names so that the page stays "
        "small; the figures count all of them. `redink view` shows every one."
    )


# --- words ----------------------------------------------------------------------------------------------------------

Changes = Sequence[tuple[str, dict[Look, Change | None]]]
"""What is compared, in words, and the change at each look."""
_WORDS = {"better": "Better.", "worse": "Worse.", "not told from chance": "Cannot tell."}


def headline(changes: Changes) -> str:
    """The answer in a few words, step by step of the training, after the student's own review; '' if there is none."""
    known = [(words.rpartition(" → ")[2], looks["t2"]) for words, looks in changes]
    return " ".join(f"{name}: {_said(found)}." for name, found in known if found)


def _figures_said(files: RunFiles) -> str:
    """Where there is nothing to compare: what each student solves."""
    panels = files.results.panels if files.results else ()
    if not panels:
        return "This run has not been evaluated yet."
    shares = [
        f"{100 * (panel.accuracy_t1.value or 0.0):.1f}\u00a0% of {panel.benchmark or 'the held-out problems'}"
        for panel in panels
    ]
    return f"{label(panels[0].model)} solves {', '.join(shares)}."


def _said(found: Change) -> str:
    points = 100 * (found.difference.value or 0.0)
    return found.verdict if found.p >= CHANCE else f"{found.verdict} by {abs(points):.1f} points"


def verdicts(changes: Changes) -> Html | None:
    """For each step of training and each look: better, worse, or not told from chance, with the numbers."""
    items = [_verdict(words, [found for found in looks.values() if found]) for words, looks in changes]
    return element("ul", *items, class_="verdicts") if any(items) else None


def _verdict(words: str, found: Sequence[Change]) -> Html | None:
    return element("li", element("h2", words), *map(_look, found)) if found else None


def _look(found: Change) -> Html:
    style = found.verdict if found.p < CHANCE else "open"
    numbers = (
        f"{percent(found.difference, signed=True)} points; {found.gained:,} problems gained, {found.lost:,} lost "
        f"of {found.shared:,}; {chance(found.p)}"
    )
    return element(
        "p",
        element("span", _WORDS[found.verdict], class_=f"word {style}"),
        element("span", LOOKS[found.look], class_="look"),
        element("span", numbers, class_="numbers"),
    )


def _subtitle(files: RunFiles) -> str:
    student = files.results.student if files.results else ""
    student, seed = student or str(files.recipe.get("student", "")), files.recipe.get("seed")
    parts = [f"Run {files.name}", f"student {student}" if student else "", f"seed {seed}" if seed is not None else ""]
    if files.results:
        first = {name: panels[0].accuracy_t1.n for name, panels in files.results.by_benchmark.items()}
        parts += [f"{n:,} problems of {name}" if name else f"{n:,} held-out problems" for name, n in first.items()]
    return " · ".join(filter(None, parts))


def _caveat(files: RunFiles) -> Html | None:
    """What a reader must know before the figures."""
    if files.recipe.get("student") != "bundled":
        return None
    return element(
        "p",
        "This is the method at small scale, with the bundled student of 0.8M parameters: it shows what the pipeline "
        "does, and nothing about models of 7B or real benchmarks.",
        class_="caveat",
    )


# --- the form and the colophon --------------------------------------------------------------------------------------


def search_form(catalogue: Catalogue) -> Html:
    """Search and filters, with what there is to choose from."""
    facets = catalogue.facets()
    sets = {name: f"{SET_NAMES.get(name, name)} ({count:,})" for name, count in facets["sets"].items()}
    subjects = {name: f"{name} ({count:,})" for name, count in facets["subjects"].items()}
    search = element(
        "input", type="search", name="words", autocomplete="off", spellcheck="false", placeholder="words in any text"
    )
    return element(
        "form",
        element("label", "Search", search, class_="wide"),
        _choice("Problems", "set", sets),
        _choice("Subject", "subject", subjects),
        _choice("Student", "model", {model: label(model) for model in facets["models"]}),
        _choice("First wrong step", "step", {str(step): f"step {step}" for step in facets["steps"]}),
        element("label", "Outcome", _select("outcome", facets["outcomes"]), class_="wide"),
        element("button", "Take all filters away", type="button", id="clear", class_="wide"),
        id="find",
        role="search",
    )


def _choice(title: str, name: str, options: dict[str, str]) -> Html:
    return element("label", title, _select(name, options))


def _select(name: str, options: dict[str, str]) -> Html:
    chosen = [element("option", words, value=value) for value, words in options.items()]
    return element("select", element("option", "any", value=""), *chosen, name=name)


def colophon(runs: Sequence[RunFiles], faults: Sequence[str], drawn: str) -> Html:
    """How the run can be made again, and what this page leaves out."""
    sections = [piece for files in runs for piece in _made_from(files)]
    notes = [drawn, *(note for files in runs for note in files.notes)]
    if faults:
        notes.append(f"{len(faults):,} rows could not be read and are left out: {'; '.join(faults[:5])}.")
    return element(
        "div", *sections, _section("About this page", *(element("p", note) for note in notes)), class_="colophon"
    )


def _made_from(files: RunFiles) -> list[Html]:
    tables = (("versions", "Versions"), ("seeds", "Seeds"), ("fingerprints", "Fingerprints of the problems"))
    found = [(title, files.manifest.get(key)) for key, title in tables]
    recipe = element(
        "details",
        element("summary", "The recipe as run"),
        element("pre", json.dumps(files.recipe, indent=1), class_="raw"),
    )
    shown = [
        _section(f"{title} of {files.name}", _pairs(values)) for title, values in found if isinstance(values, dict)
    ]
    return [*shown, _section(f"Recipe of {files.name}", recipe)]


def _pairs(values: dict[str, Any]) -> Html:
    rows = [piece for key, value in values.items() for piece in (element("dt", key), element("dd", str(value)))]
    return element("dl", *rows)


def _section(title: str, *content: Html) -> Html:
    return element("section", element("h2", title), *content)

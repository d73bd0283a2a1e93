"""What a reproduction leaves for people: a page per table, figures, claims, an index; each file whole or not at all."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import Field

from redink.pipelines.tables import as_latex, as_markdown
from redink.reproduction.arms import Scale
from redink.reproduction.building import Built, as_table, build, claims_table, missing_words
from redink.reproduction.claims import CLAIMS, Found, judge
from redink.reproduction.figures import draw
from redink.reproduction.items import Item
from redink.reproduction.jobs import Spell
from redink.reproduction.samples import Archive
from redink.rows import write_text
from redink.types import Row

CAVEAT = (
    "These are figures of tiny students on made-up problems: they show the method at small scale, and which of the "
    "papers' claims have the same sign there. They are not the papers' results."
)


class Reproduction(Row):
    """Everything that was found: results.json."""

    scale: str = Field(description="mini, paper, or the user's file.")
    title: str = Field(description="What the scale is.")
    command: str = Field(description="How it was started.")
    machine: str = Field(description="Processor, cores, versions.")
    date: str = Field(description="Day of writing, UTC.")
    seeds: tuple[int, ...] = Field(description="The seeds that were asked for.")
    limit: int | None = Field(description="At most so many problems in each set; None: the whole scale.")
    hours: float = Field(description="Of all arms together, over every start of this and earlier commands.")
    items: tuple[Built, ...] = Field(description="Tables and figures.")
    claims: tuple[Found, ...] = Field(description="The papers' claims that these carry.")
    faults: dict[str, str] = Field(description="Run directories that could not be read, and why.")


def gather(
    items: Sequence[Item], archive: Archive, scale: Scale, *, name: str, command: str, limit: int | None,
    spells: Sequence[Spell] = (),
) -> Reproduction:  # fmt: skip
    """Every number of these items, and the claims that they carry."""
    wanted = {item.name for item in items}
    called = {arm: it.called or it.extends for arm, it in scale.arms.items()}
    built = tuple(build(item, archive, called) for item in items)
    claims = tuple(judge(claim, archive) for claim in CLAIMS if claim.where in wanted)
    return Reproduction(
        scale=name,
        title=scale.title,
        command=command,
        machine=machine(),
        date=datetime.now(UTC).date().isoformat(),
        seeds=archive.seeds,
        limit=limit,
        hours=sum(spell.seconds for spell in spells) / 3600,
        items=built,
        claims=claims,
        faults=archive.faults,
    )


def machine() -> str:
    """Processor, cores and versions, nothing that names the machine itself."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    said = f"{_processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"
    return f"{said}, torch {version('torch')}, redink {version('redink')}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def write_all(found: Reproduction, archive: Archive, out: Path, latex: bool = False) -> list[Path]:
    """Write every file of a reproduction into `out`, the index last; returns them."""
    written = [path for built in found.items for path in _write_item(built, archive, out, latex)]
    if found.claims:
        written.append(_put(out / "claims.md", _claims_page(found)))
        written += [_put(out / "claims.tex", as_latex(claims_table(found.claims)))] if latex else []
    written.append(_put(out / "results.json", found.model_dump_json(indent=2) + "\n"))
    written.append(_put(out / "README.md", index(found)))
    return written


def _write_item(built: Built, archive: Archive, out: Path, latex: bool) -> list[Path]:
    name, table, svg = built.item.name, as_table(built), draw(built, archive)
    picture = f"![{built.item.title}]({name}.svg)\n\n" if svg else ""
    text = f"# {built.item.title}\n\n{picture}{as_markdown(table)}"
    return [
        *([_put(out / f"{name}.svg", svg)] if svg else []),
        _put(out / f"{name}.md", text),
        _put(out / f"{name}.json", built.model_dump_json(indent=2) + "\n"),
        *([_put(out / f"{name}.tex", as_latex(table))] if latex else []),
    ]


def _put(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def index(found: Reproduction) -> str:
    """README.md of the results: what was run, where, and what came of it."""
    missing = sorted({name for built in found.items for name in built.missing})
    look = f" At most {found.limit} problems in each set: a look at every path, no result." if found.limit else ""
    lines = [
        f"# The papers' tables and figures, scale {found.scale}",
        found.title,
        CAVEAT if found.scale == "mini" else "",
        f"    {found.command}",
        f"{found.machine}. {found.date}. Seeds {', '.join(map(str, found.seeds))}. {found.hours:.2f} hours of runs, "
        f"added up over arms.{look}",
        missing_words(missing),
        "\n".join(f"- {name} cannot be read: {why}" for name, why in found.faults.items()),
        "\n".join(f"- [{built.item.title}]({built.item.name}.md)" for built in found.items),
        f"- [The papers' claims](claims.md): {verdicts(found.claims)}" if found.claims else "",
    ]  # fmt: skip
    return "\n\n".join(filter(None, lines)) + "\n"


def verdicts(claims: Sequence[Found]) -> str:
    """How many claims came to which verdict.

    >>> verdicts([])
    'none'
    """
    counted: dict[str, int] = {}
    for found in claims:
        counted[found.verdict] = counted.get(found.verdict, 0) + 1
    return ", ".join(f"{count} {verdict}" for verdict, count in sorted(counted.items())) or "none"


def _claims_page(found: Reproduction) -> str:
    return f"# The papers' claims\n\n{verdicts(found.claims)}.\n\n{as_markdown(claims_table(found.claims))}"

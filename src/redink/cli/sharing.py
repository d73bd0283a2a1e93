"""`redink export`, `redink export-data`, `redink push`, `redink import`: what leaves the house, and what comes in."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from redink.cli.shared import calm_libraries, console
from redink.failures import Failure

if TYPE_CHECKING:
    from redink.sharing.data import ExportedData
    from redink.sharing.hub import PushPlan
    from redink.sharing.lessons import What

commands = typer.Typer()
Form = Literal["merged", "adapter", "gguf"]
DataForm = Literal["parquet", "trl", "llama-factory", "openrlhf"]
Imports = Literal[
    "step-dpo", "prm800k", "prm800k-pairs", "stepwise", "processbench", "bigbench-mistake", "preference"
]  # fmt: skip

ModelOption = Annotated[str | None, typer.Option(help="Which model of the run; its last one by default.")]
ToOption = Annotated[
    Form,
    typer.Option(help="merged: whole weights (transformers, vLLM); adapter: LoRA (PEFT); gguf: one file (llama.cpp)."),
]
PrecisionOption = Annotated[
    Literal["f32", "f16", "bf16", "q8_0"] | None,
    typer.Option(help="Precision of the weights; as they are by default, f16 in GGUF. q8_0: GGUF only."),
]
RankOption = Annotated[
    int | None, typer.Option(min=1, help="Rank of the adapter of a model that was trained in full: the nearest one.")
]
ConverterOption = Annotated[
    Path | None, typer.Option(help="llama.cpp's convert_hf_to_gguf.py, for models that redink does not write itself.")
]
LicenceOption = Annotated[
    str | None, typer.Option("--license", help="For the card, as the hub names it: apache-2.0, mit, …")
]
BaseOption = Annotated[
    str | None, typer.Option("--base-model", help="For the card: the base student's id on the hub, where it has one.")
]
KINDS = "thoughts, chains, corrections, pairs, attempts"
WhatOption = Annotated[list[str] | None, typer.Option(help=f"Which rows: {KINDS}; all by default. Repeatable.")]


def _say(line: str) -> None:
    console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)


@commands.command(epilog="Example: redink export runs/demo --to gguf --out exported/demo-gguf")
def export(
    source: Annotated[str, typer.Argument(help="A run directory; or a student: bundled, smollm2, a folder, a hub id.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    model: ModelOption = None,
    to: ToOption = "merged",
    precision: PrecisionOption = None,
    rank: RankOption = None,
    converter: ConverterOption = None,
    licence: LicenceOption = None,
    base_model: BaseOption = None,
) -> None:
    """A trained model as a folder that others can use, with its card; loaded again and compared before it is kept."""
    calm_libraries()
    from redink.sharing.models import ExportOptions, export_model

    done = export_model(source, out, model, ExportOptions(to, precision, rank, converter, licence, base_model))
    for check in done.checks:
        _say(f"checked: {check}")
    _say(f"exported: {done.folder} ({', '.join(done.files)})")


@commands.command("export-data", epilog="Example: redink export-data runs/demo --what pairs --format trl --out data")
def export_data(
    run: Annotated[Path, typer.Argument(help="A run directory, such as runs/demo.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    what: WhatOption = None,
    form: Annotated[
        DataForm, typer.Option("--format", help="Parquet with every field, or as a trainer reads it.")
    ] = "parquet",
    style: Annotated[
        Literal["auto", "messages", "text"],
        typer.Option(help="Of TRL and OpenRLHF: messages, or text as the student is asked; auto: what it has."),
    ] = "auto",
    licence: LicenceOption = None,
) -> None:
    """A run's thoughts, chains, corrections, pairs or attempts as data for others, with a dataset card."""
    calm_libraries()
    from redink.sharing.data import export_data as exported

    _report(exported(run, _kinds(run, what), form, out, style=style, licence=licence))


def _kinds(run: Path, names: list[str] | None) -> list[What]:
    """The kinds of these names, or all that a run has."""
    from redink.sharing.lessons import kind_of, kinds_of
    from redink.sharing.runs import SharedRun

    if names:
        return [kind_of(name) for name in names]
    found = kinds_of(SharedRun.open(run))
    if not found:
        raise Failure(f"{run} has no rows yet.", "Type the command of the run again.")
    return found


def _report(done: ExportedData) -> None:
    for what, file in done.files.items():
        _say(f"{what}: {done.rows[what]} rows in {file}")
    for reason, count in done.left_out.items():
        _say(f"left out: {count} {reason}")
    _say(f"exported: {done.folder}")


@commands.command(epilog="Example: redink push runs/demo me/redink-demo --private --dry-run")
def push(
    source: Annotated[Path, typer.Argument(help="A folder that redink exported; or a run directory.")],
    repository: Annotated[str, typer.Argument(help="The repository on the hub, org/name.")],
    model: ModelOption = None,
    to: ToOption = "merged",
    precision: PrecisionOption = None,
    what: Annotated[
        list[str] | None, typer.Option(help="Push these rows of the run, as a data set of Parquet. Repeatable.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a private repository, if it is not there yet.")] = (
        False
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and card, and send nothing.")] = False,
    licence: LicenceOption = None,
    base_model: BaseOption = None,
) -> None:
    """Send a model, or data, with its card to the Hugging Face hub; the token is that of HF_TOKEN or of the login."""
    calm_libraries()
    from redink.sharing.data import export_data as exported
    from redink.sharing.hub import plan_push
    from redink.sharing.hub import push as send
    from redink.sharing.models import ExportOptions, export_model

    with tempfile.TemporaryDirectory(prefix="redink-push-") as place:
        folder = Path(place) / "export" if (source / "recipe.json").exists() else source
        if folder != source and what:
            _report(exported(source, _kinds(source, what), "parquet", folder, licence=licence))
        elif folder != source:
            options = ExportOptions(to, precision, licence=licence, base_model=base_model)
            export_model(str(source), folder, model, options)
        plan = plan_push(folder, repository, private)
        _show(plan)
        if dry_run:
            _say("dry run: nothing was sent.")
            return
        _say(f"pushed: {send(folder, plan)}")


def _show(plan: PushPlan) -> None:
    kind = "data set" if plan.repo_type == "dataset" else "model"
    _say(f"{kind} {plan.repository} ({'private' if plan.private else 'public'}), {sum(plan.files.values()):,} bytes")
    for name, size in plan.files.items():
        _say(f"  {size:>14,}  {name}")
    console.rule("README.md")
    _say(plan.card)
    console.rule()


@commands.command(
    "import", epilog="Example: redink import step-dpo train.parquet --out pairs.jsonl --prompt solve_in_steps"
)
def import_(
    form: Annotated[Imports, typer.Argument(metavar="FORMAT", help="One of them; see docs/export.md.")],
    file: Annotated[Path, typer.Argument(help="JSONL, a JSON list, or Parquet.")],
    out: Annotated[Path, typer.Option(help="Where the rows go; quarantine, books and problems lie beside it.")],
    prompt: Annotated[
        str | None, typer.Option(help="Put each question into this prompt (bundled or a file); else it stands alone.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="What ids begin with; the format's name by default.")] = None,
) -> None:
    """Other people's preference or step-error data into redink's rows; rows that cannot be read are quarantined.

    \b
    step-dpo          Math-Step-DPO-10K            -> preference pairs
    prm800k           PRM800K, steps rated         -> labelled solutions
    prm800k-pairs     PRM800K, right over wrong    -> preference pairs
    stepwise          TRL's completions and labels -> labelled solutions
    processbench      ProcessBench                 -> labelled solutions
    bigbench-mistake  BIG-Bench-Mistake            -> labelled solutions
    preference        prompt, chosen, rejected     -> preference pairs
    """
    from redink.sharing.imports import import_rows

    done = import_rows(form, file, out, prompt, source)
    counts = done.counts
    reasons = "".join(f", {count} {reason}" for reason, count in counts.reasons.items())
    _say(
        f"{counts.inputs} inputs = {counts.accepted} accepted + {counts.rejected} rejected + "
        f"{counts.quarantined} quarantined{reasons}"
    )
    _say(f"{done.rows} rows: {', '.join(done.files)}")

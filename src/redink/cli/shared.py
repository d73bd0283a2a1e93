"""What commands share: the console, options of one kind, and calm libraries."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

if TYPE_CHECKING:
    from redink.stages.engine import EngineSettings

console = Console()

RecipeArgument = Annotated[str, typer.Argument(help="A recipe file, or a bundled recipe's name such as 'demo'.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="Change one key: --set hsft.epochs=2. May be repeated.")
]
DataDirOption = Annotated[
    Path | None, typer.Option(help="Folder of the published problem sets (gsm8k_train.jsonl, …); else the hub.")
]
RunDirOption = Annotated[Path, typer.Option(help="Where run directories live.")]
NameOption = Annotated[str | None, typer.Option(help="The run directory's name; the recipe's name by default.")]
StudentOption = Annotated[
    str | None, typer.Option(help="bundled, smollm2, a local folder or a hub id; the recipe's by default.")
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="At most this many problems in each set: a quick look at every stage.")
]
SeedOption = Annotated[int | None, typer.Option(min=0, help="The recipe's seed.")]
FreshOption = Annotated[
    bool, typer.Option("--fresh", help="Delete the run directory first, all but its journal of bought replies.")
]
MaxUsdOption = Annotated[
    float | None, typer.Option("--max-usd", min=0, help="Stop when teacher and inspector have cost this much.")
]
EngineOption = Annotated[
    Literal["local", "ray"] | None,
    typer.Option(
        "--engine", help="Who samples and grades: this process, or the workers of a Ray cluster (docs/scale.md)."
    ),
]
RayAddressOption = Annotated[
    str | None,
    typer.Option("--ray-address", help="host:port of a Ray cluster, 'auto', or 'local'; else RAY_ADDRESS, else local."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Ray workers that hold the student; else as many as have room.")
]
PromptOption = Annotated[str | None, typer.Option(help="How to ask: a bundled prompt or a file.")]
CorrectOption = Annotated[str | None, typer.Option(help="How to ask for the review: a bundled prompt or a file.")]
CheckerOption = Annotated[str, typer.Option(help="Who says what is right: math, exact, module:function, …")]


def engine_values(kind: str | None, address: str | None, workers: int | None) -> dict[str, object]:
    """The keys of a recipe's [engine] that the options give."""
    given = {"kind": kind, "address": address, "workers": workers}
    return {key: value for key, value in given.items() if value is not None}


def engine_settings(kind: str | None, address: str | None, workers: int | None) -> EngineSettings:
    """The same for a command without a recipe."""
    from redink.stages.engine import EngineSettings

    return EngineSettings.model_validate(engine_values(kind, address, workers))


def calm_libraries() -> None:
    """No telemetry, no progress bars and no notices of libraries between our lines."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore")
    from datasets.utils.logging import disable_progress_bar, set_verbosity_error
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    disable_progress_bar()
    set_verbosity_error()

"""`redink train`: one training stage from files, in one process or, with `--accelerate`, in many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from redink.cli.shared import calm_libraries, console

commands = typer.Typer()


@commands.command(
    epilog="Example: redink train cross-dpo --student runs/x/hsft --rows runs/x/pairs.jsonl --out runs/x/cross_dpo "
    "--recipe recipes/paper-7b.toml --accelerate recipes/accelerate/fsdp2_8gpu.yaml"
)
def train(
    stage: Annotated[Literal["hsft", "cross-dpo"], typer.Argument(help="What is trained.")],
    student: Annotated[str, typer.Option(help="The student to begin with: a folder, a hub id, bundled or smollm2.")],
    rows: Annotated[Path, typer.Option(help="hsft: lines with prompt and reply; cross-dpo: preference pairs. JSONL.")],
    out: Annotated[Path, typer.Option(help="Where the trained model goes; cut off, the same command goes on.")],
    recipe: Annotated[
        Path | None, typer.Option(help="Settings: its [hsft] or [cross_dpo], or a run's recipe.json.")
    ] = (None),
    lessons: Annotated[
        Path | None, typer.Option(help="For cross_dpo.replay: what HSFT taught, lines with prompt and reply.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of rows.")] = 0,
    accelerate: Annotated[
        str | None,
        typer.Option(
            help="A configuration of accelerate, by path or shipped name: fsdp2_8gpu, zero3, two_nodes, cpu …"
        ),
    ] = None,
    machine_rank: Annotated[int | None, typer.Option(min=0, help="This machine's number, of several.")] = None,
    main_ip: Annotated[str | None, typer.Option(help="Address of machine 0, of several.")] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="Processes over all machines; else as configured.")] = (
        None
    ),
) -> None:
    """Train one stage from files: HSFT on lessons, or Cross-DPO on preference pairs."""
    calm_libraries()
    from redink.failures import Failure
    from redink.training.__main__ import main
    from redink.training.launch import launch

    if out.exists():
        raise Failure(f"{out} is there already.", "Choose another --out, or remove it to train anew.")
    given = {"student": student, "rows": rows, "out": out, "recipe": recipe, "lessons": lessons, "seed": seed}
    arguments = [
        stage,
        *(word for key, value in given.items() if value is not None for word in (f"--{key}", str(value))),
    ]
    if accelerate is None:
        main(arguments)
    else:
        options = {"machine_rank": machine_rank, "main_process_ip": main_ip, "num_processes": processes}
        more = [w for key, value in options.items() if value is not None for w in (f"--{key}", str(value))]
        launch(accelerate, arguments, out, more)
    console.print(f"{stage}: {out}", markup=False, highlight=False, soft_wrap=True)

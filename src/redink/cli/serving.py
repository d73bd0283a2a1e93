"""`redink serve`: a student behind an OpenAI-compatible endpoint, and a page to ask it on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from redink.cli.shared import CorrectOption, PromptOption, calm_libraries, console

commands = typer.Typer()
TOKEN_VARIABLE = "REDINK_SERVE_TOKEN"
TRAINED = Path("runs/demo/cross_dpo")


@commands.command(
    epilog="Examples: redink serve --student runs/demo/cross_dpo --rounds 2   ·   "
    "REDINK_SERVE_TOKEN=$(openssl rand -hex 24) redink serve --host 0.0.0.0   ·   "
    "redink serve --student org/model --base-url http://localhost:9000/v1"
)
def serve(
    student: Annotated[str | None, typer.Option(help="A student; the demo's last one if there is one.")] = None,
    name: Annotated[str | None, typer.Option(help="What clients call it; the student's name by default.")] = None,
    host: Annotated[str, typer.Option(help="Where to listen; other than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 8000,
    rounds: Annotated[int, typer.Option(min=0, max=8, help="Most rounds of self-correction; clients may differ.")] = 1,
    base_url: Annotated[
        str | None, typer.Option(help="The student is a model of this OpenAI-compatible server.")
    ] = None,
    preset: Annotated[str, typer.Option(help="How it is asked: auto, redink or supercorrect-7b.")] = "auto",
    prompt: PromptOption = None,
    correct: CorrectOption = None,
    prompts: Annotated[Path | None, typer.Option(help="A folder of prompts, or a model card.")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest solution or review, whatever is asked.")] = 1024,
    batch_rows: Annotated[int, typer.Option(min=1, help="Most requests that are generated together.")] = 32,
    queue: Annotated[int, typer.Option(min=1, help="Most requests under way or waiting; more are sent away.")] = 256,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds a request may take, its wait included.")] = 300.0,
    body_kb: Annotated[int, typer.Option(min=1, help="Largest request, in kB.")] = 512,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds for what is under way when the server is stopped.")
    ] = 30.0,
    token_name: Annotated[
        str, typer.Option(help="The environment variable with the token that clients must send.")
    ] = TOKEN_VARIABLE,
) -> None:
    """Serve a student: an OpenAI-compatible endpoint with self-correction behind it, and a page to ask it on.

    POST /v1/chat/completions, GET /v1/models, /health, /metrics (Prometheus), /openapi.json, and / for people.
    SIGTERM or Ctrl-C ends what is under way first.
    """
    calm_libraries()
    from redink.serving import running
    from redink.serving.gate import is_loopback
    from redink.serving.setting_up import service_for
    from redink.solving.solver import Solver

    token = os.environ.get(token_name) or None
    running.check_exposure(host, token, token_name)
    with running.opened(host, port) as listening:
        chosen = student or (str(TRAINED) if TRAINED.exists() else "bundled")
        solver = Solver.load(
            chosen, preset=preset, rounds=rounds, base_url=base_url, prompt=prompt, correct=correct, prompts=prompts,
            batch_rows=batch_rows,
        )  # fmt: skip
        service = service_for(
            solver, name=name, token=token, longest=max_new_tokens, queue=queue, timeout_s=timeout,
            body_bytes=body_kb * 1000, batch_rows=batch_rows, open_to_all=not is_loopback(host),
        )  # fmt: skip
        running.serve(service, listening, grace, lambda now: _say(chosen, now))


def _say(student: str, now: object) -> None:
    address = now.address  # type: ignore[attr-defined]
    console.print(
        f"{student}: {address} (the page), {address}v1 (base_url for OpenAI clients); Ctrl-C ends it",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip

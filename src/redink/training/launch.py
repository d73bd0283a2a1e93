"""Training in several processes: `accelerate launch` of one stage, its log kept, its failure told in one line."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from redink.failures import Failure
from redink.training.adapters import checkpoint_folder
from redink.training.checkpoints import last_checkpoint

_OURS = "redink: "
_NOISE = re.compile(r"Traceback|torch[./]distributed|ChildFailedError|^\s*(?:File \"|[~^]+$)")


def configurations() -> dict[str, Path]:
    """The accelerate configurations that are shipped, by name."""
    packaged = Path(str(resources.files("redink"))) / "recipes" / "accelerate"
    folder = packaged if packaged.is_dir() else Path(__file__).parents[3] / "recipes" / "accelerate"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def configuration(name: str) -> Path:
    """A configuration by path or by shipped name; raises `Failure` naming the shipped ones."""
    known, path = configurations(), Path(name)
    if path.is_file():
        return path
    if path.stem in known and path.name in {path.stem, f"{path.stem}.yaml"}:
        return known[path.stem]
    raise Failure(f"{name}: there is no such accelerate configuration.", f"Name a file, or one of {', '.join(known)}.")


def launch(config: str, arguments: Sequence[str], out: Path, more: Sequence[str] = ()) -> None:
    """Run `python -m redink.training <arguments>` in the processes that a configuration names, to its end.

    `more` are further options of `accelerate launch`, such as --machine_rank. Everything they say is kept in
    `<out>.launch.log`. Raises `Failure`, with the reason where a process gave one, after all of them have ended.
    """
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration(config)), *more]
    log = out.with_name(f"{out.name}.launch.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    code = _followed([*launcher, "-m", "redink.training", *arguments], log)
    if code:
        raise _failure(log.read_text("utf-8", "replace"), log, out)
    log.unlink(missing_ok=True)


def _followed(command: Sequence[str], log: Path) -> int:
    """The exit code of a command, whose lines are kept in `log`, and passed on up to the first of a traceback."""
    with log.open("w", encoding="utf-8") as kept:
        kept.write(shlex.join(command) + "\n")
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")
        assert process.stderr is not None
        passing = True
        try:
            for line in process.stderr:
                kept.write(line)
                passing = passing and not _NOISE.search(line) and not line.startswith(_OURS)
                if passing:
                    print(line, end="", file=sys.stderr, flush=True)
            return process.wait()
        except BaseException:
            process.terminate()  # the launcher takes its processes with it
            process.wait()
            raise


def _failure(text: str, log: Path, out: Path) -> Failure:
    said = [line.removeprefix(_OURS) for line in text.splitlines() if line.startswith(_OURS)]
    if said:
        return Failure(said[0])
    signals = re.findall(r"Signal (\d+)|exitcode\s*:\s*-(\d+)", text)
    number = next((one or other for one, other in signals), None)
    what = f"a process was killed by signal {number}" if number else "a process ended with an exception"
    good = last_checkpoint(checkpoint_folder(out))
    step = Path(good).name if good else "the start (no checkpoint was written yet)"
    return Failure(f"training stopped: {what}; see {log}.", f"The same command goes on from {step}.")

"""Training in several processes, on CPUs: the losses, gradients and weights of one, and going on after a kill."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from test_training import PAIRS, load, log_of
from tiny import tiny_folder

from redink.rows import write_rows
from redink.training import __main__ as launch
from redink.training.checkpoints import last_checkpoint
from redink.training.loop import checkpoint_folder

PROCESS = Path(__file__).with_name("process.py")
RECIPES = Path(__file__).parents[2] / "recipes" / "accelerate"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("student"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """One thread each, gloo on loopback, no bars, and the paths of this process."""
    return os.environ | {
        "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "TQDM_DISABLE": "1",
        "PYTHONPATH": os.pathsep.join([str(PROCESS.parents[1]), *sys.path]),
    } | more  # fmt: skip


def accelerate(config: Path, *arguments: str, **more: str) -> None:
    """`accelerate launch` with a configuration."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    command = [*launcher, "--main_process_port", str(free_port()), *arguments]
    finish([subprocess.Popen(command, env=environment(**more), stderr=subprocess.PIPE)])


def one_process(folder: Path, out: Path, kind: str) -> None:
    """The same training in a process of its own, alone."""
    command = [sys.executable, str(PROCESS), "1", str(folder), str(out), kind]
    finish([subprocess.Popen(command, env=environment(ACCELERATE_USE_CPU="true"), stderr=subprocess.PIPE)])


def two_processes(folder: Path, out: Path, kind: str) -> None:
    """Plain data parallel processes, as torchrun starts them."""
    shared = environment(
        WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(free_port()), ACCELERATE_USE_CPU="true"
    )
    command = [sys.executable, str(PROCESS), "2", str(folder), str(out), kind]
    finish([
        subprocess.Popen(command, env=shared | {"RANK": rank, "LOCAL_RANK": rank}, stderr=subprocess.PIPE)
        for rank in ("0", "1")
    ])  # fmt: skip


def two_shards(folder: Path, out: Path, kind: str, recipe: str = "fsdp2_8gpu") -> None:
    """A configuration that we ship, with two processes."""
    in_shards(folder, out, kind, 2, recipe=recipe)


def in_shards(
    folder: Path, out: Path, kind: str, processes: int, stop: int = 0, recipe: str = "fsdp2_8gpu", states: str = "FULL"
) -> None:
    """`accelerate launch` with a configuration that we ship, made smaller (see `process.shard_on_cpus`)."""
    config = out.with_name(f"{recipe}.yaml")
    text = (RECIPES / config.name).read_text()
    for before, after in (
        ("mixed_precision: bf16", 'mixed_precision: "no"'),
        ("num_processes: 8", f"num_processes: {processes}"),
        ("FULL_STATE_DICT", f"{states}_STATE_DICT"),
    ):
        text = text.replace(before, after)
    config.write_text(text)
    arguments = [str(PROCESS), str(processes), str(folder), str(out), kind, str(stop)]
    cpu = {"ACCELERATE_TORCH_DEVICE": "cpu", "ACCELERATE_USE_CPU": "false", "DS_ACCELERATOR": "cpu"}
    accelerate(config, *arguments, **cpu)


def started_training(config: Path, arguments: list[str]) -> subprocess.Popen[str]:
    """`redink train` with a configuration that we ship."""
    command = [sys.executable, "-m", "redink.cli", "train", *arguments, "--accelerate", str(config)]
    return subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def one_rank_is_killed(config: Path, arguments: list[str], out: Path) -> None:
    """Kill the second process in mid-training: the command ends with one line, and leaves no process behind."""
    started = started_training(config, arguments)
    wait_until(lambda: last_checkpoint(checkpoint_folder(out)) is not None, started)
    ranks = processes_of(out, "LOCAL_RANK=1")
    assert len(ranks) == 1
    os.kill(ranks[0], signal.SIGKILL)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 2
    last = said.strip().splitlines()[-1]
    assert re.fullmatch(
        r"redink: training stopped: a process was killed by signal 9; see \S+\. "
        r"The same command goes on from checkpoint-\d\.", last,
    )  # fmt: skip
    assert "Traceback" not in said
    assert "SIGKILL" in (out.parent / f"{out.name}.launch.log").read_text()
    assert not processes_of(out)


def processes_of(out: Path, setting: str = "") -> list[int]:
    """Processes that train into `out`, with this in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            settings = (folder / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(out) in command and "redink.training" in command and setting in settings:
            found.append(int(folder.name))
    return found


def wait_until(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 400
    while not there():
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.01)


def finish(started: list[subprocess.Popen[bytes]]) -> None:
    """Wait for processes that must end well."""
    try:
        for process in started:
            _, complaint = process.communicate(timeout=180)
            assert process.returncode == 0, complaint.decode()[-3000:]
    finally:
        for process in started:
            process.terminate()  # a launcher takes its processes with it
            process.wait(timeout=60)


def assert_same_gradients(alone: Path, together: Path) -> None:
    """Those of the first step."""
    gradients, others = (torch.load(out / "gradients.pt", weights_only=True) for out in (alone, together))
    assert gradients
    assert_close(others, gradients)


def assert_same(alone: Path, together: Path, processes: int = 2) -> None:
    """All losses, and on each process the weights at the end and on disk."""
    losses, weights = torch.load(alone / "seen-0.pt", weights_only=True)
    for rank in range(processes):
        other_losses, other_weights = torch.load(together / f"seen-{rank}.pt", weights_only=True)
        assert len(losses) == 4
        assert other_losses == pytest.approx(losses, abs=1e-6)
        assert_close(other_weights, weights)
    assert_close(load(together / "model").model.state_dict(), weights)


def assert_close(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.fixture(scope="module", params=["full", "lora"])
def alone(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What is trained, and where one process has written what came of it."""
    out = tmp_path_factory.mktemp("alone")
    one_process(folder, out, request.param)
    return request.param, out


@pytest.mark.slow
@pytest.mark.parametrize("together", [two_processes, two_shards])
def test_two_processes_have_the_loss_gradients_and_weights_of_one(
    folder: Path, tmp_path: Path, alone: tuple[str, Path], together: Callable[[Path, Path, str], None]
) -> None:
    kind, out = alone
    together(folder, tmp_path / "two", kind)
    assert_same_gradients(out, tmp_path / "two")
    assert_same(out, tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["zero2", "zero3"])
def test_deepspeed_has_the_losses_and_weights_of_one_process(
    folder: Path, tmp_path: Path, alone: tuple[str, Path], recipe: str
) -> None:
    pytest.importorskip("deepspeed")
    kind, out = alone
    two_shards(folder, tmp_path / "two", kind, recipe=recipe)
    assert_same(out, tmp_path / "two")


@pytest.mark.slow
@pytest.mark.parametrize("alone", ["full"], indirect=True)
@pytest.mark.parametrize(
    ("states", "optimiser", "turns"), [("FULL", "optimizer.bin", (2, 1, 2)), ("SHARDED", "optimizer_0", (2, 1))]
)
def test_a_killed_training_in_shards_goes_on_where_it_was_with_any_number_of_processes(
    folder: Path, tmp_path: Path, alone: tuple[str, Path], states: str, optimiser: str, turns: Sequence[int]
) -> None:
    """Each turn ends in the step after its one checkpoint; only one that began anew writes the first gradients again."""
    out = tmp_path / "out"
    for number, processes in enumerate(turns[:-1], start=1):
        in_shards(folder, out, "full", processes, stop=number + 1, states=states)
        (out / "gradients.pt").unlink(missing_ok=number > 1)
        checkpoint = checkpoint_folder(out / "model") / f"checkpoint-{number}"
        assert (checkpoint / optimiser).exists()
        assert last_checkpoint(checkpoint.parent) == str(checkpoint)
    in_shards(folder, out, "full", turns[-1], states=states)
    assert not (out / "gradients.pt").exists()
    assert_same(alone[1], out, turns[-1])


@pytest.mark.slow
def test_redink_train_with_the_configuration_for_cpus_after_one_process_was_killed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    rows = tmp_path / "pairs.jsonl"
    write_rows(rows, [*PAIRS, *PAIRS[:2]])
    for name, batch in (("one", 4), ("two", 2)):
        (tmp_path / f"{name}.toml").write_text(
            f"[cross_dpo]\nepochs = 8\nbatch_size = {batch}\nlearning_rate = 1e-3\nwarmup = 0.5\nsave_every = 1\n"
        )

    def arguments(name: str) -> list[str]:
        given = {"student": folder, "rows": rows, "out": tmp_path / name, "recipe": tmp_path / f"{name}.toml"}
        return ["cross-dpo", *(word for key, value in given.items() for word in (f"--{key}", str(value)))]

    launch.main(arguments("one"))
    config = tmp_path / "cpu.yaml"
    config.write_text((RECIPES / "cpu.yaml").read_text().replace("29511", str(free_port())))
    one_rank_is_killed(config, arguments("two"), tmp_path / "two")
    started = started_training(config, arguments("two"))
    _, said = started.communicate(timeout=400)
    assert started.returncode == 0, said[-3000:]
    one, two = ([line["loss"] for line in log_of(tmp_path / name) if "loss" in line] for name in ("one", "two"))
    assert len(one) == 32  # 16 pairs, 4 a step, 8 times: with one process that has 2 a step there would be 64
    assert two == pytest.approx(one, abs=1e-5)
    assert_close(load(tmp_path / "two").model.state_dict(), load(tmp_path / "one").model.state_dict())
    report = json.loads((tmp_path / "two" / "training_report.json").read_text())
    assert (report["rows"], report["steps"]) == (16, 32)
    assert not checkpoint_folder(tmp_path / "two").exists()
    assert not (tmp_path / "two.launch.log").exists()

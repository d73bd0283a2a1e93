"""Training from files: what `accelerate launch` starts, and the configurations that are shipped for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from test_training import LESSONS, PAIRS
from tiny import tiny_folder

from redink.models.student import Student
from redink.rows import write_rows
from redink.training import __main__ as launch

CONFIGURATIONS = sorted((Path(__file__).parents[2] / "recipes" / "accelerate").glob("*.yaml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("student"))


def arguments(stage: str, folder: Path, rows: Path, *more: str) -> list[str]:
    return [stage, "--student", str(folder), "--rows", str(rows), "--out", str(rows.parent / "out"), *more]


def test_cross_dpo_from_files(folder: Path, tmp_path: Path) -> None:
    rows, recipe = tmp_path / "pairs.jsonl", tmp_path / "recipe.toml"
    write_rows(rows, PAIRS)
    recipe.write_text("[hsft]\nepochs = 7\n[cross_dpo]\nepochs = 1\nbatch_size = 7\nlearning_rate = 1e-3\n")
    launch.main(arguments("cross-dpo", folder, rows, "--recipe", str(recipe)))
    assert len((tmp_path / "out" / "training_log.jsonl").read_text().splitlines()) >= 2
    assert Student.load(str(tmp_path / "out")).name


def test_hsft_from_files(folder: Path, tmp_path: Path) -> None:
    rows, recipe = tmp_path / "lessons.jsonl", tmp_path / "recipe.toml"
    rows.write_text("".join(f'{{"prompt": "{lesson.prompt}", "reply": "{lesson.reply}"}}\n' for lesson in LESSONS))
    recipe.write_text("[hsft]\nepochs = 1\nbatch_size = 7\n")
    launch.main(arguments("hsft", folder, rows, "--recipe", str(recipe)))
    assert Student.load(str(tmp_path / "out")).name


@pytest.mark.parametrize(
    ("stage", "line", "recipe", "complaint"),
    [
        ("hsft", '{"prompt": 3, "reply": ""}', "", r"rows.jsonl:1, field 'prompt': a text is expected"),
        ("hsft", '{"prompt": "a", "reply": "b", "ends": 1}', "", r"rows.jsonl:1, field 'ends': true or false"),
        ("cross-dpo", '{"prompt": "a"}', "", r"rows.jsonl:1, field 'problem_id'"),
        (
            "hsft",
            '{"prompt": "a", "reply": "b"}',
            "[hsft]\nepochs = -1",
            r"recipe.toml: hsft.epochs: Input should be gr",
        ),
        ("hsft", '{"prompt": "a", "reply": "b"}', "[hsft", r"recipe.toml: cannot be read"),
    ],
)
def test_a_failure_is_one_line_and_exit_code_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, line: str, recipe: str, complaint: str
) -> None:
    rows, toml = tmp_path / "rows.jsonl", tmp_path / "recipe.toml"
    rows.write_text(line + "\n")
    toml.write_text(recipe)
    with pytest.raises(SystemExit) as stopped:
        launch.main(arguments(stage, folder, rows, "--recipe", str(toml)))
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert complaint.split(",", maxsplit=1)[0] in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("rank", "gpus", "device", "shares_cpu"),
    [(None, True, None, None), ("3", True, 3, None), ("1", False, None, "true")],
)
def test_each_process_takes_its_own_gpu_or_shares_the_cpu(
    monkeypatch: pytest.MonkeyPatch, rank: str | None, gpus: bool, device: int | None, shares_cpu: str | None
) -> None:
    taken: list[int] = []
    monkeypatch.setattr("torch.accelerator.is_available", lambda: gpus)
    monkeypatch.setattr("torch.accelerator.set_device_index", taken.append)
    environment = {} if rank is None else {"LOCAL_RANK": rank}
    monkeypatch.setattr(launch.os, "environ", environment)
    launch._take_device()
    assert taken == ([] if device is None else [device])
    assert environment.get("ACCELERATE_USE_CPU") == shares_cpu


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_accelerate_reads_the_configurations_we_ship(path: Path) -> None:
    config = load_config_from_file(str(path))
    kinds = {
        "ddp": "MULTI_GPU", "cpu": "MULTI_GPU", "fsdp2_8gpu": "FSDP", "fsdp2_two_nodes": "FSDP",
        "zero2": "DEEPSPEED", "zero3": "DEEPSPEED", "zero3_two_nodes": "DEEPSPEED",
    }  # fmt: skip
    assert config.distributed_type == kinds[path.stem]
    assert len(CONFIGURATIONS) == len(kinds)
    if path.stem.startswith("zero"):
        assert config.deepspeed_config["zero_stage"] == int(path.stem[4])
    if path.stem.startswith("fsdp2"):
        assert config.fsdp_config["fsdp_version"] == 2
    assert (config.num_machines, config.num_processes // config.num_machines) == (
        (2, 8) if path.stem.endswith("two_nodes") else (1, 2 if path.stem == "cpu" else 8)
    )

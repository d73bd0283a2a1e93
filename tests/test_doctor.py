"""The doctor: what is there, what is missing, and never a key's value."""

from __future__ import annotations

import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from redink import doctor
from redink.doctor import Finding, diagnose


def found() -> dict[str, Finding]:
    return {finding.part: finding for finding in diagnose()}


def test_what_is_installed_is_found_with_its_version() -> None:
    findings = found()
    assert findings["Python ≥ 3.11"].ok
    for name in doctor.NEEDED:
        assert findings[name] == Finding(part=name, found=version(name), ok=True, needed=True)


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", missing)
    finding = found()["trl"]
    assert (finding.ok, finding.needed, finding.found) == (False, True, "install it: pip install trl")


@pytest.mark.parametrize(("value", "ok"), [("sk-secret", True), ("", False), (None, False)])
def test_a_key_is_found_but_never_shown(monkeypatch: pytest.MonkeyPatch, value: str | None, ok: bool) -> None:
    if value is None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    else:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    findings = found()
    assert findings["OPENAI_API_KEY"].ok is ok
    assert not findings["OPENAI_API_KEY"].needed
    assert "sk-secret" not in str(findings)


def test_smollm2_is_found_or_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDINK_CACHE", str(tmp_path))
    assert found()["smollm2"] == Finding(
        part="smollm2", found="Fetch it with: redink fetch smollm2", ok=False, needed=False
    )
    folder = tmp_path / "smollm2-135m-instruct"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_text("")
    assert found()["smollm2"].ok


@pytest.mark.parametrize(("gpu", "said"), [(True, "A Fine GPU"), (False, "none: the CPU is used (3 threads)")])
def test_an_accelerator_is_welcome_but_not_needed(monkeypatch: pytest.MonkeyPatch, gpu: bool, said: str) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "A Fine GPU")
    monkeypatch.setattr("torch.get_num_threads", lambda: 3)
    assert found()["GPU"] == Finding(part="GPU", found=said, ok=gpu, needed=False)


@pytest.mark.parametrize(("missing", "said"), [(None, "ready"), ("qwen2", "the installation is incomplete")])
def test_the_bundled_students_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str | None, said: str
) -> None:
    for name in {"llama", "qwen2", "gemma3"} - {missing}:
        weights = tmp_path / "assets" / "students" / name / "model.safetensors"
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"")
    monkeypatch.setattr("redink.models.bundled.resources.files", lambda package: tmp_path)
    assert found()["bundled students"] == Finding(part="bundled students", found=said, ok=missing is None, needed=True)


@pytest.mark.parametrize(
    ("free", "said", "ok"), [(2_500_000_000, "2.5 GB free", True), (900_000_000, "0.9 GB free", False)]
)
def test_the_disk_is_looked_at(monkeypatch: pytest.MonkeyPatch, free: int, said: str, ok: bool) -> None:
    usage = shutil._ntuple_diskusage(10**12, 10**12 - free, free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: usage)
    assert found()["disk space here"] == Finding(part="disk space here", found=said, ok=ok, needed=False)

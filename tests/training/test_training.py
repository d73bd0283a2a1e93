"""HSFT and Cross-DPO on a tiny student: losses worked out by hand, resuming to the same bytes, failures in one line."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from tiny import tiny_folder
from transformers import TrainerCallback

from redink.failures import Failure
from redink.models.student import Student
from redink.training import loop
from redink.training.cross_dpo import train_cross_dpo
from redink.training.encoding import Lesson
from redink.training.hsft import train_hsft
from redink.training.loop import ByLengthSampler, TrainReport, checkpoint_folder, last_checkpoint, optimiser_steps
from redink.training.settings import CrossDPOSettings, HSFTSettings, LoRASettings
from redink.types import PreferencePair

LESSONS = [
    Lesson(f"Question {n}", f"<Answer>{' '.join(str(n + i) for i in range(n % 5 + 1))}</Answer>") for n in range(14)
]
PAIRS = [
    PreferencePair(
        problem_id=str(n),
        prompt=f"Question {n}",
        prefix="<Step1>2 + 3 = 5</Step1>\n" if n % 2 else "",
        chosen=f"<Step2>{'x' * (n % 5 + 1)}</Step2>",
        rejected=f"<Step2>y{n}</Step2>",
        rejected_ends=n % 3 == 0,
    )
    for n in range(14)
]


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("student"))


def load(folder: Path) -> Student:
    return Student.load(str(folder))


def log_probs(student: Student, prompt: list[int], reply: list[int]) -> torch.Tensor:
    """log p of each token of the reply, one row at a time, without padding."""
    logits = student.model(input_ids=torch.tensor([prompt + reply])).logits[0].double()
    rows = torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)
    return rows[torch.arange(len(reply)), torch.tensor(reply)]


def sides(student: Student, pair: PreferencePair) -> tuple[torch.Tensor, torch.Tensor]:
    """log p of each token of the chosen and of the rejected side, given prompt and prefix."""
    encode = student.tokenizer.encode
    prompt = encode(pair.prompt + "\n") + encode(pair.prefix, add_special_tokens=False)
    chosen = encode(pair.chosen, add_special_tokens=False) + [1] * pair.chosen_ends
    rejected = encode(pair.rejected, add_special_tokens=False) + [1] * pair.rejected_ends
    return log_probs(student, prompt, chosen), log_probs(student, prompt, rejected)


def log_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "training_log.jsonl").read_text().splitlines()]


def files_of(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


# ---------------------------------------------------------------- HSFT


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_first_loss_of_hsft_is_the_mean_cross_entropy_of_the_reply_tokens(
    folder: Path, tmp_path: Path, accumulation: int
) -> None:
    lessons = LESSONS[:4]
    student = load(folder)
    tokens = torch.cat(
        [
            log_probs(
                student,
                student.tokenizer.encode(lesson.prompt + "\n"),
                [*student.tokenizer.encode(lesson.reply, add_special_tokens=False), 1],
            )
            for lesson in lessons
        ]
    )
    settings = HSFTSettings(epochs=1, learning_rate=1e-3, batch_size=4 // accumulation, accumulation=accumulation)
    report = train_hsft(student, lessons, settings, tmp_path / "hsft")
    assert report.first_loss == pytest.approx(-tokens.mean().item(), rel=1e-5)
    assert (report.rows, report.too_long, report.steps) == (4, 0, 1)


def test_hsft_teaches_and_saves_what_it_taught(folder: Path, tmp_path: Path) -> None:
    student, out = load(folder), tmp_path / "hsft"
    report = train_hsft(student, LESSONS, HSFTSettings(epochs=6, learning_rate=1e-2, batch_size=7), out)
    assert report.steps == 12
    assert report.last_loss < report.first_loss - 1
    saved = Student.load(str(out))
    for name, weights in student.model.state_dict().items():
        assert torch.equal(saved.model.state_dict()[name], weights), name
    assert not student.model.training
    assert not checkpoint_folder(out).exists()
    assert TrainReport.model_validate_json((out / "training_report.json").read_text()) == report
    assert [line["step"] for line in log_of(out) if "loss" in line] == list(range(1, 13))
    assert not any("runtime" in key for line in log_of(out) for key in line)


def test_rows_that_are_too_long_are_counted_and_not_trained_on(folder: Path, tmp_path: Path) -> None:
    lessons = [*LESSONS[:3], Lesson("Question 1", "z" * 60), Lesson("Question 2", "z" * 61)]
    report = train_hsft(load(folder), lessons, HSFTSettings(epochs=1, max_length=40), tmp_path / "hsft")
    assert (report.rows, report.too_long) == (3, 2)


# ---------------------------------------------------------------- Cross-DPO


def test_the_first_loss_of_cross_dpo_is_ln_2(folder: Path, tmp_path: Path) -> None:
    """At step 0 policy and reference are one model: −log σ(0) = ln 2, whatever β."""
    settings = CrossDPOSettings(epochs=1, learning_rate=1e-3, batch_size=7, beta=0.3)
    report = train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "dpo")
    assert report.first_loss == pytest.approx(math.log(2), abs=1e-6)
    first = log_of(tmp_path / "dpo")[0]
    assert first["rewards/chosen"] == pytest.approx(0, abs=1e-6)
    assert first["rewards/rejected"] == pytest.approx(0, abs=1e-6)


def eq_8(policy: Student, reference: Student, pair: PreferencePair, beta: float) -> torch.Tensor:
    """SuperCorrect eq. 8 for one pair, term by term."""
    with torch.no_grad():
        ref_chosen, ref_rejected = (side.sum() for side in sides(reference, pair))
    chosen, rejected = (side.sum() for side in sides(policy, pair))
    return -F.logsigmoid(beta * (chosen - ref_chosen) - beta * (rejected - ref_rejected))


@pytest.mark.parametrize("nll", [0.0, 0.7])
def test_two_steps_agree_with_equation_8_by_hand(folder: Path, tmp_path: Path, nll: float) -> None:
    """Plain AdamW by hand on eq. 8 (+ the NLL of the chosen tokens) meets the trainer's losses and weights."""
    pairs, beta, rate = PAIRS[:3], 0.4, 1e-3
    settings = CrossDPOSettings(
        epochs=2, learning_rate=rate, batch_size=3, beta=beta, nll=nll, warmup=0, scheduler="constant",
        max_grad_norm=1e9,
    )  # fmt: skip
    trained, out = load(folder), tmp_path / "dpo"
    train_cross_dpo(trained, pairs, settings, out)

    policy, reference = load(folder), load(folder)
    optimiser = torch.optim.AdamW(policy.model.parameters(), lr=rate, weight_decay=0.0)
    by_hand = []
    for _ in range(2):
        loss = torch.stack([eq_8(policy, reference, pair, beta) for pair in pairs]).mean()
        if nll:
            loss = loss - nll * torch.cat([sides(policy, pair)[0] for pair in pairs]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        by_hand.append(loss.item())
    assert [line["loss"] for line in log_of(out) if "loss" in line] == pytest.approx(by_hand, rel=1e-4)
    if not nll:
        assert by_hand[0] == pytest.approx(math.log(2))
    for name, weights in policy.model.state_dict().items():
        assert torch.allclose(trained.model.state_dict()[name], weights, atol=2e-4), name


def test_cross_dpo_raises_the_margin_of_the_chosen_side(folder: Path, tmp_path: Path) -> None:
    student = load(folder)

    def margins() -> list[float]:
        with torch.no_grad():
            return [float(a.sum() - b.sum()) for a, b in (sides(student, pair) for pair in PAIRS)]

    before = margins()
    train_cross_dpo(student, PAIRS, CrossDPOSettings(epochs=3, learning_rate=3e-3, batch_size=7), tmp_path / "dpo")
    assert all(after > earlier for earlier, after in zip(before, margins(), strict=True))


def test_pairs_that_are_too_long_are_counted(folder: Path, tmp_path: Path) -> None:
    long = PAIRS[0].model_copy(update={"rejected": "z" * 60})
    settings = CrossDPOSettings(epochs=1, max_length=50)
    report = train_cross_dpo(load(folder), [*PAIRS[:3], long], settings, tmp_path / "dpo")
    assert (report.rows, report.too_long) == (3, 1)


# ---------------------------------------------------------------- adapters


@pytest.mark.parametrize("modules", ["all-linear", ("q_proj",)])
def test_adapters_end_as_merged_weights_and_touch_only_their_modules(
    folder: Path, tmp_path: Path, modules: str | tuple[str, ...]
) -> None:
    out, base = tmp_path / "hsft", load(folder).model.state_dict()
    lora = LoRASettings(rank=2, alpha=4, target_modules=modules)  # type: ignore[arg-type]
    train_hsft(load(folder), LESSONS, HSFTSettings(epochs=2, learning_rate=1e-2, batch_size=7, lora=lora), out)
    assert not list(out.glob("adapter*"))
    merged = Student.load(str(out)).model.state_dict()
    assert merged.keys() == base.keys()
    changed = {name.split(".")[-2] for name in base if not torch.equal(merged[name], base[name])}
    linear = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert changed == (linear if modules == "all-linear" else {"q_proj"})


# ---------------------------------------------------------------- resuming


class Killed(BaseException):
    """Nothing in the program catches it, as nothing catches a kill."""


def killed_after(step: int, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    original = loop._Watch.on_step_end

    def on_step_end(self: TrainerCallback, args: object, state: object, control: object, **more: object) -> None:
        original(self, args, state, control, **more)  # type: ignore[arg-type]
        if state.global_step == step:  # type: ignore[attr-defined]
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop._Watch, "on_step_end", on_step_end)
        with pytest.raises(Killed):
            work()


def hsft(folder: Path, out: Path, lora: LoRASettings | None) -> None:
    settings = HSFTSettings(epochs=3, learning_rate=1e-2, batch_size=2, accumulation=2, save_every=2, lora=lora)
    train_hsft(load(folder), LESSONS, settings, out, seed=3)


def cross_dpo(folder: Path, out: Path, lora: LoRASettings | None) -> None:
    settings = CrossDPOSettings(
        epochs=3, learning_rate=1e-2, batch_size=2, accumulation=2, save_every=2, nll=0.5, lora=lora
    )
    train_cross_dpo(load(folder), PAIRS, settings, out, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, LoRASettings(rank=2)], ids=["full", "lora"])
@pytest.mark.parametrize("train", [hsft, cross_dpo])
def test_a_killed_training_goes_on_to_the_same_bytes(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    train: Callable[[Path, Path, LoRASettings | None], None],
    lora: LoRASettings | None,
) -> None:
    """14 rows of 2 × 2 make 4 steps an epoch: step 7 is within the second epoch, its checkpoint (6) too."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(folder, whole, lora)
    torch.manual_seed(1)  # what else happened in the process must not matter
    killed_after(7, lambda: train(folder, cut, lora), monkeypatch)
    assert not cut.exists()
    assert Path(last_checkpoint(checkpoint_folder(cut)) or "").name == "checkpoint-6"
    torch.manual_seed(2)
    train(folder, cut, lora)
    assert files_of(cut) == files_of(whole)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["half a state file", "no optimiser"])
def test_a_half_written_checkpoint_is_passed_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    hsft(folder, whole, None)
    killed_after(7, lambda: hsft(folder, cut, None), monkeypatch)
    last = checkpoint_folder(cut) / "checkpoint-6"
    if damage == "no optimiser":
        (last / "optimizer.pt").unlink()
    else:
        (last / "trainer_state.json").write_text((last / "trainer_state.json").read_text()[:50])
        (last / "model.safetensors").write_bytes(b"torn")
    assert Path(last_checkpoint(checkpoint_folder(cut)) or "").name == "checkpoint-4"
    hsft(folder, cut, None)
    assert files_of(cut) == files_of(whole)


def test_without_a_checkpoint_training_starts_at_the_beginning(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    (tmp_path / "checkpoint-5").mkdir()
    assert last_checkpoint(tmp_path) is None


def test_a_kill_while_saving_leaves_no_half_model(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, settings = tmp_path / "hsft", HSFTSettings(epochs=1, learning_rate=1e-3, batch_size=7)

    def torn(path: Path, text: str) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(loop, "write_text", torn)
        with pytest.raises(Killed):
            train_hsft(load(folder), LESSONS, settings, out)
    assert not out.exists()
    train_hsft(load(folder), LESSONS, settings, out)
    assert out.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hsft"]


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_training(folder: Path, tmp_path: Path, poison: float) -> None:
    student = load(folder)
    with torch.no_grad():
        student.model.get_input_embeddings().weight[5:] = poison
    with pytest.raises(Failure, match=r"^the loss is (nan|inf) at step 1\. Lower learning_rate\. .*none was saved yet"):
        train_hsft(student, LESSONS, HSFTSettings(epochs=1, learning_rate=1e-3), tmp_path / "hsft")
    assert not (tmp_path / "hsft").exists()


def test_a_loss_that_becomes_no_number_names_the_last_good_checkpoint(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = load(folder)
    original = loop._Watch.on_step_end

    def poison(self: TrainerCallback, args: object, state: object, control: object, **more: object) -> None:
        original(self, args, state, control, **more)  # type: ignore[arg-type]
        if state.global_step == 3:  # type: ignore[attr-defined]
            with torch.no_grad():
                student.model.get_input_embeddings().weight.fill_(math.nan)

    monkeypatch.setattr(loop._Watch, "on_step_end", poison)
    settings = HSFTSettings(epochs=2, learning_rate=1e-3, batch_size=2, save_every=2)
    with pytest.raises(Failure, match=r"the loss is nan at step 4\..*checkpoint-2\.$"):
        train_hsft(student, LESSONS, settings, tmp_path / "hsft")


def full_disk(*args: object, **more: object) -> None:
    raise OSError(28, "No space left on device")


def full_disk_as_torch_says_it(*args: object, **more: object) -> None:
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 211200 vs 211092")


@pytest.mark.parametrize(
    ("target", "broken"),
    [
        ("redink.training.loop.write_text", full_disk),
        ("transformers.LlamaForCausalLM.save_pretrained", full_disk),
        ("torch.save", full_disk_as_torch_says_it),
    ],
)
def test_a_full_disk_is_one_line_and_the_next_try_succeeds(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, broken: Callable[..., None]
) -> None:
    out, settings = tmp_path / "hsft", HSFTSettings(epochs=1, learning_rate=1e-3, batch_size=7, save_every=1)
    student = load(folder)
    with monkeypatch.context() as patch:
        patch.setattr(target, broken)
        with pytest.raises(Failure, match=r"hsft: cannot be written \(.*Free some space") as caught:
            train_hsft(student, LESSONS, settings, out)
    assert "\n" not in str(caught.value)
    assert not out.exists()
    train_hsft(load(folder), LESSONS, settings, out)
    assert Student.load(str(out)).name == str(out)


def test_safetensors_own_failure_on_a_full_disk_is_one_line_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    def full(*args: object, **more: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    student = load(folder)
    monkeypatch.setattr(student.model, "save_pretrained", full)
    with pytest.raises(Failure, match=r"hsft: cannot be written \(.*No space left on device"):
        train_hsft(student, LESSONS[:2], HSFTSettings(epochs=1, learning_rate=1e-3), tmp_path / "hsft")


def test_a_runtime_error_of_another_kind_is_not_hidden(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    student = load(folder)
    monkeypatch.setattr(student.model, "save_pretrained", broken)
    with pytest.raises(RuntimeError, match="device-side assert"):
        train_hsft(student, LESSONS[:2], HSFTSettings(epochs=1, learning_rate=1e-3), tmp_path / "hsft")


# ---------------------------------------------------------------- steps and order


@pytest.mark.parametrize(
    ("rows", "batch", "accumulation", "epochs", "steps"),
    [
        (14, 2, 2, 3, 12),  # 7 batches, 4 steps an epoch
        (16, 8, 1, 1, 2),
        (17, 8, 1, 2, 6),
        (3, 8, 16, 4, 4),  # fewer rows than one step holds
        (100, 10, 1, 0.5, 5),
        (1, 8, 1, 0.1, 1),  # never none
    ],
)
def test_optimiser_steps(rows: int, batch: int, accumulation: int, epochs: float, steps: int) -> None:
    settings = HSFTSettings(epochs=epochs, batch_size=batch, accumulation=accumulation)
    assert optimiser_steps(rows, settings) == steps


@pytest.mark.parametrize(
    ("steps", "save_every", "every"), [(10, 100, 1), (100, 100, 5), (150, 100, 5), (1000, 100, 10), (1000, 7, 7)]
)
def test_log_lines_fall_on_checkpoints(steps: int, save_every: int, every: int) -> None:
    arguments = loop.shared_arguments(HSFTSettings(save_every=save_every), Path("out"), 0, steps)
    assert arguments["logging_steps"] == every


def test_warm_up_is_a_share_of_the_steps() -> None:
    assert loop.shared_arguments(HSFTSettings(warmup=0.05), Path("out"), 0, 200)["warmup_steps"] == 10


def test_the_order_of_rows_is_that_of_seed_and_epoch_alone_and_groups_like_lengths() -> None:
    lengths = [(7 * n) % 40 + 1 for n in range(400)]
    sampler = ByLengthSampler(lengths, 4, seed=5)
    assert len(sampler) == 400
    sampler.set_epoch(1)
    first = list(sampler)
    assert sorted(first) == list(range(400))
    sampler.set_epoch(0)
    assert list(sampler) != first
    torch.manual_seed(99)
    again = ByLengthSampler(lengths, 4, seed=5)
    again.set_epoch(1)
    assert list(again) == first
    spread = [max(lengths[i] for i in first[at : at + 4]) - min(lengths[i] for i in first[at : at + 4])
              for at in range(0, 400, 4)]  # fmt: skip
    assert sum(spread) / len(spread) < 4  # four rows at random would spread over about 24


def test_a_checkpoint_folder_stands_beside_its_stage(tmp_path: Path) -> None:
    assert checkpoint_folder(tmp_path / "hsft") == tmp_path / "hsft.checkpoints"
    shutil.rmtree(tmp_path)

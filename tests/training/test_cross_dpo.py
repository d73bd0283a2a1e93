"""Cross-DPO around its loss: when prefixes are shared, the reference's cache, what is logged, what is left out."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from families import FAMILIES, RAGGED, UNSHAREABLE, random_model, random_pairs
from test_training import LESSONS, PAIRS, Killed, killed_after, load, log_of
from tiny import tiny_folder, tokenizer
from transformers import LlamaForCausalLM, PreTrainedModel
from trl import DPOConfig

from redink.failures import Failure
from redink.training import adapters, loop
from redink.training.attention import NAME
from redink.training.cross_dpo import CrossDPOTrainer, train_cross_dpo
from redink.training.encoding import Lesson
from redink.training.hsft import LessonTrainer, train_hsft
from redink.training.packed import prepare
from redink.training.prefix import LessonCollator, PairCollator
from redink.training.settings import CrossDPOSettings, HSFTSettings, LoRASettings

SETTINGS = CrossDPOSettings(epochs=1, learning_rate=1e-3, batch_size=7)


@pytest.fixture(autouse=True)
def no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("student"))


def trainer_of(model: PreTrainedModel, folder: Path, **more: Any) -> CrossDPOTrainer:
    options = {
        "report_to": [],
        "precompute_ref_log_probs": True,
        "use_cpu": True,
        "bf16": False,
        loop.CHECKPOINTING: False,
        "max_length": None,
    }
    arguments = DPOConfig(str(folder), **options | more.pop("options", {}))
    return CrossDPOTrainer(
        model=model, args=arguments, train_dataset=random_pairs(RAGGED), processing_class=tokenizer(), **more
    )


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trainers that `train_cross_dpo` and `train_hsft` make."""
    trainers: list[Any] = []
    original = loop.run

    def run(trainer: Any, *arguments: Any) -> Any:
        trainers.append(trainer)
        return original(trainer, *arguments)

    monkeypatch.setattr("redink.training.cross_dpo.run", run)
    monkeypatch.setattr("redink.training.hsft.run", run)
    return trainers


@pytest.mark.parametrize("family", FAMILIES)
def test_the_families_share(family: str) -> None:
    model = random_model(FAMILIES[family])
    assert prepare(model) is None
    assert model.config._attn_implementation == NAME


@pytest.mark.parametrize("family", UNSHAREABLE)
def test_a_family_that_cannot_share_trains_trls_way_and_says_so(
    family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = random_model(UNSHAREABLE[family])
    before = model.config._attn_implementation
    with caplog.at_level(logging.WARNING, logger="redink"):
        trainer = trainer_of(model, tmp_path)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("redink")]
    assert said == [f"{type(model).__name__}: rows are padded and prefixes not shared: {trainer.obstacle}."]
    assert trainer.obstacle
    assert not isinstance(trainer.data_collator, PairCollator)
    assert model.config._attn_implementation == before
    loss = trainer.compute_loss(trainer.model, trainer.data_collator(list(trainer.train_dataset)))
    assert float(loss) == pytest.approx(0.6931, abs=1e-2)  # policy and reference are one model


def test_a_model_that_ignores_the_layout_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attention that leaks from one branch into the other changes the log-probabilities of a trial."""
    from transformers import AttentionInterface

    from redink.training.attention import segment_attention

    def leaking(*arguments: Any, layout: Any = None, **more: Any) -> Any:
        return segment_attention(*arguments, **more)

    AttentionInterface.register(NAME, leaking)
    try:
        model = random_model(FAMILIES["llama"])
        obstacle = prepare(model)
    finally:
        AttentionInterface.register(NAME, segment_attention)
    assert obstacle is not None
    assert "of their size when shared" in obstacle
    assert model.config._attn_implementation == "sdpa"


def test_options_that_need_a_padded_batch_are_named(tmp_path: Path) -> None:
    trainer = trainer_of(random_model(FAMILIES["llama"]), tmp_path, options={"use_weighting": True})
    assert trainer.obstacle == "use_weighting needs the logits of a padded batch"


def test_both_stages_pack_and_give_the_model_its_attention_back(folder: Path, tmp_path: Path, made: list[Any]) -> None:
    student = load(folder)
    train_hsft(student, LESSONS, HSFTSettings(epochs=1, learning_rate=1e-3), tmp_path / "hsft")
    train_cross_dpo(student, PAIRS, SETTINGS, tmp_path / "dpo")
    assert [trainer.obstacle for trainer in made] == [None, None]
    assert isinstance(made[0].data_collator, LessonCollator)
    assert isinstance(made[1].data_collator, PairCollator)
    assert student.model.config._attn_implementation == "sdpa"
    assert "attn_implementation" not in (tmp_path / "dpo" / "config.json").read_text()


@pytest.mark.parametrize("lora", [None, LoRASettings(rank=2)], ids=["full", "lora"])
def test_shared_and_plain_runs_end_with_the_same_weights(folder: Path, tmp_path: Path, lora: Any) -> None:
    settings = CrossDPOSettings(epochs=2, learning_rate=1e-3, batch_size=4, accumulation=2, nll=0.3, lora=lora)
    weights = []
    for share in (True, False):
        student = load(folder)
        train_cross_dpo(student, PAIRS, settings, tmp_path / f"dpo{share}", share=share)
        weights.append(student.model.state_dict())
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=2e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_and_padded_hsft_end_with_the_same_weights(folder: Path, tmp_path: Path, checkpointing: bool) -> None:
    settings = HSFTSettings(
        epochs=2, learning_rate=1e-3, batch_size=3, accumulation=2, gradient_checkpointing=checkpointing
    )
    weights, logs = [], []
    for packed in (True, False):
        student, out = load(folder), tmp_path / f"hsft{packed}"
        train_hsft(student, LESSONS, settings, out, packed=packed)
        weights.append(student.model.state_dict())
        logs.append([line["loss"] for line in log_of(out) if "loss" in line])
    assert logs[0] == pytest.approx(logs[1], abs=1e-5)
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=2e-4)


def test_packed_lessons_cost_their_own_squares_only(folder: Path, tmp_path: Path, made: list[Any]) -> None:
    """No lesson attends outside itself and no mask is built for any."""
    train_hsft(load(folder), LESSONS, HSFTSettings(epochs=1, learning_rate=1e-3), tmp_path / "hsft")
    trainer: LessonTrainer = made[0]
    layout = trainer.data_collator([{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}] * 3)["layout"]
    assert [(segment.length, segment.seen) for segment in layout.segments] == [(3, 0)] * 3
    assert layout.made == {}


# What every log line must hold, by the project's list.
LOGGED = {
    "loss", "rewards/margins", "rewards/accuracies", "rewards/chosen", "rewards/rejected", "logps/chosen",
    "logps/rejected", "kl", "tokens_per_second", "tokens_per_second_unshared", "peak_memory_mib",
}  # fmt: skip


def test_what_is_logged(folder: Path, tmp_path: Path, made: list[Any]) -> None:
    train_cross_dpo(load(folder), PAIRS, SETTINGS, tmp_path / "dpo")
    lines = [line for line in made[0].state.log_history if "loss" in line]
    assert all(line.keys() >= LOGGED for line in lines)
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-5)  # before the first step policy and reference are one
    assert all(line["tokens_per_second_unshared"] > line["tokens_per_second"] > 0 for line in lines)
    assert lines[0]["peak_memory_mib"] > 50
    assert not any("second" in key or "memory" in key for line in log_of(tmp_path / "dpo") for key in line)


def test_tokens_are_counted_as_computed_and_as_unshared(tmp_path: Path) -> None:
    """Prompt 9, sides 6 and 11, 2 in common: 9 + 6 + 11 − 2 = 24 computed, 9 + 6 + 9 + 11 = 35 unshared."""
    trainer = trainer_of(random_model(FAMILIES["llama"]), tmp_path)
    trainer.compute_loss(trainer.model, trainer.data_collator([trainer.train_dataset[0]]))
    assert trainer._counted == (24, 35)
    assert trainer._metrics["train"]["num_tokens"] == [35]  # as TRL counts them


# ---------------------------------------------------------------- the reference


def calls_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that the reference computes."""
    sizes: list[int] = []
    original = CrossDPOTrainer._reference_of

    def counted(self: CrossDPOTrainer, rows: list[Any]) -> Any:
        sizes.append(len(rows))
        return original(self, rows)

    monkeypatch.setattr(CrossDPOTrainer, "_reference_of", counted)
    return sizes


def test_learning_rate_and_beta_do_not_invalidate_the_reference(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, sizes = tmp_path / "cache", calls_of(monkeypatch)
    train_cross_dpo(load(folder), PAIRS, SETTINGS, tmp_path / "one", reference_cache=cache)
    assert sizes == [7, 7]
    other = SETTINGS.model_copy(update={"learning_rate": 1e-4, "beta": 0.05})
    train_cross_dpo(load(folder), list(reversed(PAIRS)), other, tmp_path / "two", reference_cache=cache)
    assert sizes == [7, 7]
    lora = SETTINGS.model_copy(update={"lora": LoRASettings(rank=2)})  # its reference is the same model
    train_cross_dpo(load(folder), PAIRS, lora, tmp_path / "three", reference_cache=cache)
    assert sizes == [7, 7]
    moved = load(folder)
    with torch.no_grad():
        moved.model.get_input_embeddings().weight[5] += 1e-3
    train_cross_dpo(moved, PAIRS, SETTINGS, tmp_path / "four", reference_cache=cache)
    assert sizes == [7, 7, 7, 7]


def test_only_what_is_missing_or_damaged_is_computed_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 2})
    train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "one")
    (file,) = (tmp_path / "one.reference").iterdir()
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    assert len(lines) == len(PAIRS)
    file.write_bytes(b"".join(lines[:5]) + b"0" + lines[5][1:] + b"".join(lines[6:]))
    sizes = calls_of(monkeypatch)
    train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "two", reference_cache=tmp_path / "one.reference")
    assert sizes == [2]
    assert file.read_bytes().splitlines()[-1] == lines[5].rstrip()  # the very same values
    assert (tmp_path / "two" / "model.safetensors").read_bytes() == (
        tmp_path / "one" / "model.safetensors"
    ).read_bytes()


def test_a_run_killed_while_the_reference_computes_goes_on_where_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 2})
    train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "whole")
    sizes = calls_of(monkeypatch)
    counted = CrossDPOTrainer._reference_of

    def killed(self: CrossDPOTrainer, rows: list[Any]) -> Any:
        if len(sizes) == 3:
            raise Killed
        return counted(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(CrossDPOTrainer, "_reference_of", killed)
        with pytest.raises(Killed):
            train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "cut")
    assert sizes == [2, 2, 2]
    train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "cut")
    assert sizes == [2] * 7
    for name in ("model.safetensors", "training_log.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_resumed_run_reads_its_reference(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SETTINGS.model_copy(update={"batch_size": 2, "save_every": 2})
    killed_after(5, lambda: train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "dpo"), monkeypatch)
    sizes = calls_of(monkeypatch)
    train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "dpo")
    assert sizes == []


def test_the_reference_is_not_in_memory(tmp_path: Path) -> None:
    trainer = trainer_of(
        random_model(FAMILIES["llama"]),
        tmp_path,
        reference_cache=tmp_path / "c",
    )
    assert trainer.ref_model is None
    assert set(trainer.train_dataset.column_names) >= {"ref_chosen_logps", "ref_rejected_logps"}


def test_an_unwritable_cache_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "dpo.reference").write_text("")
    with pytest.raises(Failure, match=r"dpo\.reference.*cannot be written"):
        train_cross_dpo(load(folder), PAIRS, SETTINGS, tmp_path / "dpo")


# ---------------------------------------------------------------- what is left out, what goes wrong


def test_pairs_and_lessons_that_are_too_long_are_listed(folder: Path, tmp_path: Path) -> None:
    long = PAIRS[0].model_copy(update={"rejected": "z" * 60, "problem_id": "long one"})
    settings = SETTINGS.model_copy(update={"max_length": 50})
    report = train_cross_dpo(load(folder), [*PAIRS[:3], long], settings, tmp_path / "dpo")
    assert (report.rows, report.too_long) == (3, 1)
    (line,) = (tmp_path / "dpo" / "too_long.jsonl").read_text().splitlines()
    listed = json.loads(line)
    assert (listed["row"], listed["id"]) == (3, "long one")
    assert listed["tokens"] > 60
    lessons = [Lesson("Question 1", "z" * 60), *LESSONS[:2]]
    train_hsft(load(folder), lessons, HSFTSettings(epochs=1, max_length=40), tmp_path / "hsft")
    assert json.loads((tmp_path / "hsft" / "too_long.jsonl").read_text())["row"] == 0


def test_the_trainer_itself_leaves_long_pairs_out_and_names_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="redink"):
        trainer = trainer_of(random_model(FAMILIES["llama"]), tmp_path, options={"max_length": 30})
    assert trainer.too_long == [1, 4]  # 31 + 4 and 24 + 12 tokens
    assert len(trainer.train_dataset) == 3
    assert "2 pairs are longer than max_length = 30, left out: [1, 4]" in caplog.text


@pytest.mark.parametrize(
    ("losses", "gradient", "what"),
    [
        ([0.7, 19.0, 25.0], 1.0, "the loss has exploded to 25 at step 3"),
        ([3.0, 29.0, 31.0], 1.0, "the loss has exploded to 31 at step 3"),
        ([0.7, float("inf")], 1.0, "the loss is inf at step 2"),
        ([0.7], float("nan"), "the norm of the gradient is nan at step 1"),
    ],
)
def test_a_run_that_goes_wrong_stops_and_names_its_last_checkpoint(
    tmp_path: Path, losses: list[float], gradient: float, what: str
) -> None:
    """More than 20 nats and more than ten times the lowest so far: 25 after 0.7, 31 after 3 but not 29."""
    watch = loop._Watch(loop.quiet, tmp_path)
    state = type("State", (), {"global_step": 0})()
    with pytest.raises(Failure, match=f"^{what}\\. Lower learning_rate\\. The last good checkpoint is none"):
        for state.global_step, loss in enumerate(losses, start=1):
            watch.on_log(None, state, None, {"loss": loss, "grad_norm": gradient})  # type: ignore[arg-type]


def test_four_bits_need_bitsandbytes(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "has_bitsandbytes", lambda: False)
    settings = SETTINGS.model_copy(update={"lora": LoRASettings(four_bit=True)})
    with pytest.raises(Failure, match="pip install bitsandbytes"):
        train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "dpo")


def test_adapters_of_a_quantised_copy_are_merged_into_the_whole_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in for 4 bits is a coarse rounding: what is saved is the fine weights plus the adapters."""

    def coarse(base: Path) -> PreTrainedModel:
        model = LlamaForCausalLM.from_pretrained(base)
        with torch.no_grad():
            for weights in model.parameters():
                weights.mul_(16).round_().div_(16)
        return model

    monkeypatch.setattr(adapters, "has_bitsandbytes", lambda: True)
    monkeypatch.setattr(adapters, "four_bit_copy", coarse)
    fine = {name: tensor.clone() for name, tensor in load(folder).model.state_dict().items()}
    lora = LoRASettings(rank=2, target_modules=("q_proj",), four_bit=True)
    student = load(folder)
    train_cross_dpo(student, PAIRS, SETTINGS.model_copy(update={"lora": lora}), tmp_path / "dpo")
    for name, tensor in load(tmp_path / "dpo").model.state_dict().items():
        assert torch.equal(tensor, fine[name]) == ("q_proj" not in name), name
        torch.testing.assert_close(tensor, fine[name], rtol=0, atol=0.05)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dpo", "dpo.reference"]


@pytest.mark.slow
def test_qlora_trains_adapters_on_four_bit_weights_and_saves_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    folder = tiny_folder(tmp_path / "student", hidden=64)  # its kernels for CPUs take blocks of 32 rows
    made: list[PreTrainedModel] = []
    original = adapters.four_bit_copy
    monkeypatch.setattr(adapters, "four_bit_copy", lambda base: made.append(original(base)) or made[0])
    fine = {name: tensor.clone() for name, tensor in load(folder).model.state_dict().items()}
    lora = LoRASettings(rank=2, target_modules=("q_proj",), four_bit=True)
    settings = SETTINGS.model_copy(update={"lora": lora, "learning_rate": 1e-2, "epochs": 2.0})
    train_cross_dpo(load(folder), PAIRS, settings, tmp_path / "dpo")
    quantised = [part for part in made[0].modules() if isinstance(part, bitsandbytes.nn.Linear4bit)]
    assert len(quantised) == 2 * 7  # every projection of both layers
    assert all(part.weight.dtype == torch.uint8 for part in quantised if not hasattr(part, "base_layer"))
    first = log_of(tmp_path / "dpo")[0]
    assert first["loss"] == pytest.approx(math.log(2), abs=2e-2)  # in bfloat16; policy and reference are one model
    for name, tensor in load(tmp_path / "dpo").model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, fine[name]) == ("q_proj" not in name), name

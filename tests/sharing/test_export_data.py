"""A run's rows in the forms of others: written out by hand, and loaded by the real readers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from huggingface_hub import DatasetCard
from sharing_run import run_folder, trained_folder
from stand_ins import WRITTEN

from redink.failures import Failure
from redink.models.student import Student
from redink.prompts import load_prompt
from redink.rows import write_rows
from redink.sharing.data import Format, Style, arrow_type, export_data, trl_record
from redink.sharing.lessons import Preferred, What, lessons_of, run_rows
from redink.sharing.runs import SharedRun, public_name
from redink.types import Attempt, ThoughtRow, Verdict

PREFIX, CHOSEN, REJECTED = "<Step1>47 + 38 = 85</Step1>\n", "<Step2>mended</Step2>", "<Step2>not mended</Step2>"


def exported(tmp_path: Path, what: What, form: Format, style: Style = "auto") -> list[dict[str, Any]]:
    run = run_folder(tmp_path / "run")
    done = export_data(run, [what], form, tmp_path / "out", style=style)
    lines = (tmp_path / "out" / f"{what}.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == done.rows[what]
    return [json.loads(line) for line in lines]


MESSAGES = [
    ("trl", [{"role": "user", "content": "Look it over."}], "messages"),
    ("openrlhf", [{"role": "user", "content": "Look it over."}], "messages"),
]


@pytest.mark.parametrize(("form", "prompt", "style"), MESSAGES)
def test_in_messages_the_shared_prefix_begins_both_replies(
    tmp_path: Path, form: Format, prompt: object, style: Style
) -> None:
    row = exported(tmp_path, "pairs", form, style)[0]
    assert row == {
        "prompt": prompt,
        "chosen": [{"role": "assistant", "content": PREFIX + CHOSEN}],
        "rejected": [{"role": "assistant", "content": PREFIX + REJECTED}],
    }


@pytest.mark.parametrize("form", ["trl", "openrlhf"])
def test_in_plain_text_the_shared_prefix_ends_the_prompt(tmp_path: Path, form: Format) -> None:
    rows = exported(tmp_path, "pairs", form, "text")
    assert rows[0] == {"prompt": "Look it over.\n" + PREFIX, "chosen": CHOSEN, "rejected": REJECTED}
    assert len(rows) == 2, "the pairs of the second round are there too"


def test_llama_factory_rows_and_their_registry(tmp_path: Path) -> None:
    row = exported(tmp_path, "pairs", "llama-factory")[0]
    both = {"chosen": PREFIX + CHOSEN, "rejected": PREFIX + REJECTED}
    assert row == {"instruction": "Look it over.", "input": "", **both}
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text("utf-8"))["redink_pairs"]
    assert info["ranking"] is True
    assert info["file_name"] == "pairs.jsonl"
    assert set(info["columns"].values()) == set(row)


def test_supervised_rows_are_asked_as_the_run_asked(tmp_path: Path) -> None:
    rows = exported(tmp_path, "thoughts", "openrlhf", "messages")
    asked = load_prompt(SharedRun.open(tmp_path / "run").recipe.prompts.solve).render(question="47 + 38 - 20 + 1?")
    assert rows == [{"input": asked, "output": "<Step1>Add.</Step1>\n<Answer>66</Answer>"}]


def test_corrections_are_replies_to_the_prompt_with_the_wrong_solution(tmp_path: Path) -> None:
    row = exported(tmp_path, "corrections", "trl", "messages")[0]
    assert WRITTEN in row["prompt"][0]["content"]
    mended = row["completion"][0]["content"]
    assert "<Cause>85 - 20 = 65, not 75</Cause><Correction>85 - 20 = 65</Correction></Step2>" in mended
    assert mended.endswith("<Answer>66</Answer>")


def test_attempts_carry_their_verdict_and_the_ungradable_are_counted(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    done = export_data(run, ["attempts"], "llama-factory", tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / "attempts.jsonl").read_text("utf-8").splitlines()]
    assert [(row["output"], row["kto_tag"]) for row in rows] == [(WRITTEN, False), ("<Answer>4</Answer>", True)]
    assert (done.rows, done.left_out) == ({"attempts": 2}, {"ungradable": 1})


def test_parquet_keeps_every_field_and_the_problem_beside_it(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    export_data(run, ["thoughts", "pairs", "attempts"], "parquet", tmp_path / "out", licence="mit")
    thought = pq.read_table(tmp_path / "out" / "thoughts.parquet").to_pylist()[0]
    assert (thought["question"], thought["gold_answer"], thought["gold_solution"]) == (
        "47 + 38 - 20 + 1?",
        "66",
        "secret",
    )
    assert ThoughtRow.model_validate({name: thought[name] for name in ThoughtRow.model_fields}).thought.answer == "66"
    pairs = pq.read_table(tmp_path / "out" / "pairs.parquet").to_pylist()
    assert [(row["stage"], row["sample"]) for row in pairs] == [("pairs", 4), ("round2.pairs", 5)]
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == "mit"
    assert [row["data_files"] for row in card.data.to_dict()["configs"]] == [
        "thoughts.parquet", "pairs.parquet", "attempts.parquet",
    ]  # fmt: skip


def test_columns_have_types_even_where_every_value_is_missing() -> None:
    assert str(arrow_type(str | None)) == "string"
    assert str(arrow_type(Attempt.model_fields["steps"].annotation)) == (
        "list<item: struct<number: int64, text: string, key: string>>"
    )
    assert str(arrow_type(Verdict.model_fields["outcome"].annotation)) == "string"


def test_no_row_of_the_evaluation_is_given_away(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    assert {each.problem.id for each in run_rows(SharedRun.open(folder), "attempts")} == {"p1", "p2"}
    write_rows(folder / "round2.attempts.jsonl", [Attempt(problem_id="p3", text="6", verdict=Verdict(outcome="right"))])
    with pytest.raises(Failure, match="problems of the evaluation set"):
        export_data(folder, ["attempts"], "parquet", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(Failure, match="something already"):
        export_data(run_folder(tmp_path / "run"), ["pairs"], "trl", tmp_path / "out")
    with pytest.raises(Failure, match=r"has no chains[.] It has thoughts, corrections, pairs, attempts"):
        export_data(tmp_path / "run", ["chains"], "trl", tmp_path / "other")


def test_cards_and_columns_name_no_path_of_this_machine() -> None:
    assert public_name("/home/me/models/mine") == "mine"
    assert public_name("jsonl:/home/me/mine.jsonl") == "jsonl:mine.jsonl"
    assert public_name("stories:ledger") == "stories:ledger"


@pytest.mark.slow
def test_trl_reads_the_very_tokens_that_redink_trains_on(tmp_path: Path) -> None:
    """TRL's own preparation of the exported text against `Student`, which trains on token ids of its own."""
    from datasets import load_dataset
    from trl import DPOConfig, DPOTrainer

    folder = trained_folder(tmp_path / "run")
    export_data(folder, ["pairs"], "trl", tmp_path / "out", style="auto")
    rows = load_dataset(
        "json", data_files=str(tmp_path / "out" / "pairs.jsonl"), split="train", cache_dir=str(tmp_path)
    )
    student = Student.load(str(folder / "hsft"))
    config = DPOConfig(output_dir=str(tmp_path / "t"), report_to=[], use_cpu=True, max_length=512)
    trainer = DPOTrainer(student.model, args=config, train_dataset=rows, processing_class=student.tokenizer)
    read: Any = trainer.train_dataset[0]
    [pair] = [row for row in lessons_of(SharedRun.open(folder), "pairs") if isinstance(row, Preferred)][:1]
    assert read["prompt_ids"] == student.prompt_ids(pair.prompt) + student.reply_ids(pair.prefix)
    assert read["chosen_ids"] == student.reply_ids(pair.chosen, ends=True)
    assert read["rejected_ids"] == student.reply_ids(pair.rejected, ends=True)


def test_a_chat_template_is_rendered_as_the_student_renders_it() -> None:
    template = SimpleNamespace(render=lambda prompt: f"<user>{prompt}</user>")
    row = trl_record(Preferred("ask", "p", "c", "r"), template.render)
    assert row == {"prompt": "<user>ask</user>p", "chosen": "c", "rejected": "r"}

"""The lm-evaluation-harness task: what is written, and the real harness on the bundled student."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_folder

from redink.failures import BadInput, BadRecipe, Failure, MissingModel
from redink.models.student import Sampling, Student
from redink.pipelines.lm_eval import agreement, agreement_table, pretrained_of, samples_file, write_task
from redink.problems.stories import generate
from redink.prompts import Prompt, load_prompt
from redink.stages.attempts import attempt
from redink.types import Problem

PROMPT = Prompt(name="mine", text="Q: {{question}}")
PROBLEMS = [
    Problem(id="a", question="2+2?", answer="4", source="sums", level="1"),
    Problem(id="b", question="{{2}} + 3?\u2028", answer="5", entry='{"x": 1}'),
]


def documents(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "documents.jsonl").read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def test_the_folder_holds_documents_task_and_code(tmp_path: Path) -> None:
    found = write_task(tmp_path, "jsonl:my sums.jsonl", PROBLEMS, PROMPT, max_new_tokens=77)
    assert (found.task, found.documents, found.chat) == ("redink_jsonl_my_sums_jsonl", 2, True)
    assert documents(tmp_path)[1] == {
        "id": "b", "question": "{{2}} + 3?\u2028", "answer": "5", "subject": "", "level": None, "source": "",
        "entry": '{"x": 1}', "prompt": "Q: {{2}} + 3?\u2028",
    }  # fmt: skip
    task = (tmp_path / f"{found.task}.yaml").read_text()
    assert '"max_gen_toks": 77' in task and '"do_sample": false' in task and "doc_to_text: prompt\n" in task
    words = shlex.split(found.command)
    assert words[words.index("--include_path") + 1] == str(tmp_path)
    assert "--apply_chat_template" in words and "pretrained=MODEL,dtype=float32" in words


@pytest.mark.parametrize("chat", [False, True])
def test_prompts_are_rendered_as_the_student_is_sampled(tmp_path: Path, chat: bool) -> None:
    """Without a chat template a newline ends the prompt; with one the harness applies it."""
    student = tiny_folder(tmp_path / "student", chat=chat)
    found = write_task(tmp_path, "sums", PROBLEMS, PROMPT, student=str(student), max_new_tokens=400)
    loaded = Student.load(str(student))
    assert found.chat is chat and ("--apply_chat_template" in found.command) is chat
    for row in documents(tmp_path):
        ids = loaded.prompt_ids(f"Q: {row['question']}")
        if chat:
            assert row["prompt"] == f"Q: {row['question']}"
        else:
            assert loaded.tokenizer.encode(row["prompt"]) == ids


def test_what_the_user_can_mend_is_said(tmp_path: Path) -> None:
    student = str(tiny_folder(tmp_path / "student"))
    with pytest.raises(Failure, match=r"of 512 that the student reads\. Allow shorter replies: --max-new-tokens \d+"):
        write_task(tmp_path, "sums", PROBLEMS, PROMPT, student=student, max_new_tokens=505)
    with pytest.raises(Failure, match="Use a student of longer context"):
        write_task(tmp_path, "sums", [PROBLEMS[0].model_copy(update={"question": "1 " * 600})], PROMPT, student=student)
    with pytest.raises(Failure, match="no problem"):
        write_task(tmp_path, "sums", [], PROMPT)
    with pytest.raises(Failure, match="Give --temperature"):
        write_task(tmp_path, "sums", PROBLEMS, PROMPT, repeats=4)
    with pytest.raises(BadRecipe, match="checker"):
        write_task(tmp_path, "sums", PROBLEMS, PROMPT, checker="mth")
    with pytest.raises(MissingModel, match=r"nowhere.*tokenizer cannot be loaded"):
        write_task(tmp_path, "sums", PROBLEMS, PROMPT, student=str(tmp_path / "nowhere"))
    assert not (tmp_path / "documents.jsonl").exists()


def test_a_reply_gets_what_the_context_leaves(tmp_path: Path) -> None:
    """The student reads 512 tokens, less the longest prompt; without a student nothing is known and 1,024 are allowed."""
    student = str(tiny_folder(tmp_path / "student"))
    found = write_task(tmp_path, "sums", PROBLEMS, PROMPT, student=student)
    tokenizer = Student.load(student).tokenizer
    left = 512 - max(len(tokenizer.encode(row["prompt"])) for row in documents(tmp_path))
    assert f'"max_gen_toks": {left},' in (tmp_path / f"{found.task}.yaml").read_text()
    write_task(tmp_path, "sums", PROBLEMS, PROMPT)
    assert '"max_gen_toks": 1024,' in (tmp_path / f"{found.task}.yaml").read_text()


def test_repeats_are_kept_and_averaged(tmp_path: Path) -> None:
    found = write_task(tmp_path, "sums", PROBLEMS, PROMPT, temperature=0.7, repeats=4)
    task = (tmp_path / f"{found.task}.yaml").read_text()
    assert "repeats: 4\n" in task and "{function: take_first_k, k: 4}" in task
    assert '"temperature": 0.7' in task and '"do_sample": true' in task


def logged(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "samples_redink_sums_2026-01-01T00-00-00.000001.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(problem: Problem, replies: list[str], accuracy: float) -> dict[str, Any]:
    return {"doc_id": 0, "doc": {**problem.model_dump(), "prompt": "?"}, "resps": [replies], "accuracy": accuracy}


def test_agreement_by_hand(tmp_path: Path) -> None:
    """a: 4 and "no idea" (ours 1/2), logged 1/2: the same. b: 5 and 5 (ours 2/2), logged 1/2: it differs."""
    path = logged(
        tmp_path, row(PROBLEMS[0], ["#### 4", "no idea"], 0.5), row(PROBLEMS[1], ["<Answer>5", "5 is it. #### 5"], 0.5)
    )
    found = agreement(tmp_path)
    assert samples_file(tmp_path) == path
    assert (found.task, found.documents, found.replies, found.differing) == ("redink_sums", 2, 4, ("b",))
    assert (found.ours.value, found.harness.value) == (0.75, 0.5)
    assert agreement_table(found).rows[0][-1] == "1 of 2"


@pytest.mark.parametrize("bad", [{"doc": {}}, {"resps": []}, {"accuracy": None}, {"doc": {"id": 1}}])
def test_a_line_of_another_task_is_named(tmp_path: Path, bad: dict[str, Any]) -> None:
    good = row(PROBLEMS[0], ["#### 4"], 1.0)
    logged(tmp_path, good, {**good, **bad})
    with pytest.raises(BadInput, match=r"\.jsonl:2: is no logged reply"):
        agreement(tmp_path)


def test_no_log_at_all(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="--log_samples"):
        agreement(tmp_path)
    logged(tmp_path)
    with pytest.raises(BadInput, match="holds no logged replies"):
        agreement(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("repeats", [1, 3])
def test_the_harness_runs_it_and_counts_as_we_do(tmp_path: Path, repeats: int) -> None:
    """`lm_eval` itself, by the printed command, on the bundled student; greedy replies are also those that we sample."""
    if importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm_eval is not installed")
    problems = [problem for subject in ("ledger", "groups", "compare") for problem in generate(subject, 8, seed=11)]
    prompt = load_prompt("compact/solve_hierarchical")
    found = write_task(
        tmp_path / "task", "stories", problems, prompt, student="bundled", max_new_tokens=256,
        temperature=0.0 if repeats == 1 else 0.7, repeats=repeats,
    )  # fmt: skip
    environment = {
        **os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": ":".join(filter(None, sys.path)),
    }  # fmt: skip
    command = [sys.executable, "-m", *shlex.split(found.command), "--device", "cpu"]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    same = agreement(tmp_path / "task" / "results")
    assert (same.documents, same.replies, same.differing) == (24, 24 * repeats, ())
    assert same.ours.value == pytest.approx(same.harness.value)
    results = json.loads(next((tmp_path / "task" / "results").rglob("results_*.json")).read_text())["results"]
    name = "accuracy,none" if repeats == 1 else "accuracy,all"
    assert results["redink_stories"][name] == pytest.approx(same.ours.value)
    if repeats == 1:
        log = [json.loads(line) for line in samples_file(tmp_path / "task").read_text().splitlines()]
        replies = {entry["doc"]["id"]: entry["resps"][0][0] for entry in log}
        own = attempt(problems, Student.load("bundled"), prompt, Sampling(max_new_tokens=256))
        assert [replies[one.problem_id].strip() for one in own] == [
            one.text.removesuffix("</Answer>").strip() for one in own
        ]
        assert same.ours.value == pytest.approx(sum(one.verdict.right for one in own) / 24)
        assert 0 < sum(one.verdict.right for one in own) < 24


def test_where_the_harness_finds_a_student() -> None:
    assert (Path(pretrained_of("bundled")) / "config.json").exists()
    assert pretrained_of("org/model") == "org/model"

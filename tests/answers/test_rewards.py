"""The reward function as TRL's GRPO trainer calls it, and the entry that lm-eval-harness calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from redink.answers.checkers import ExactChecker, checker_of
from redink.answers.rewards import AnswerReward, LMEvalTask, said
from redink.failures import Failure
from redink.types import Problem, Verdict

REPLIES = ["So \\boxed{4}.", "#### 5", "I do not know", "The answer is 4."]


def rewarded(reward: AnswerReward, replies: list[Any], **columns: Any) -> list[float | None]:
    return reward(prompts=["2+2?"] * len(replies), completions=replies, completion_ids=[[1]] * len(replies), **columns)


def test_right_wrong_and_no_answer() -> None:
    assert rewarded(AnswerReward(), REPLIES, answer=["4"] * 4) == [1.0, 0.0, 0.0, 1.0]
    scaled = AnswerReward(gold="target", right=2.0, wrong=-1.0)
    assert rewarded(scaled, REPLIES, target=["4"] * 4) == [2.0, -1.0, -1.0, 2.0]


def test_what_nobody_can_grade_is_no_opinion() -> None:
    numeric = {"checker": "numeric", "gold": "answer"}
    replies, golds = ["#### 9 fruits"] * 2, ["9 apples"] * 2
    assert rewarded(AnswerReward(**numeric), replies, answer=golds) == [None, None]
    assert rewarded(AnswerReward(**numeric, ungradable=0.25), replies, answer=golds) == [0.25, 0.25]


def test_conversations_numbers_and_worked_golds() -> None:
    chat = [
        [{"role": "assistant", "content": "#### 18"}],
        [{"role": "assistant", "content": [{"type": "text", "text": "#### 18"}]}],
    ]
    assert rewarded(AnswerReward(), chat, answer=["9*2 = 18\n#### 18", 18.0]) == [1.0, 1.0]
    assert rewarded(AnswerReward(checker=checker_of("exact")), ["#### 18"], answer=[["18"]]) == [1.0]


def test_what_a_tool_returns_is_no_answer() -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]}
    tool = {"role": "tool", "name": "search", "content": "#### 18"}
    reply = {"role": "assistant", "content": "#### 17"}
    assert rewarded(AnswerReward(), [[asked, tool], [asked, tool, reply]], answer=["18", "17"]) == [0.0, 1.0]


def test_what_is_logged() -> None:
    extra: dict[str, list[Any]] = {}
    metrics: dict[str, float] = {}
    rewarded(AnswerReward(), REPLIES, answer=["4"] * 4, log_extra=extra.__setitem__, log_metric=metrics.__setitem__)
    assert extra["verdict"] == ["right", "wrong", "ungradable", "right"]
    assert metrics == {"answers/right": 0.5, "answers/ungradable": 0.25}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"solution": ["4"], "trainer_state": None}, "no column 'answer' of gold answers. Name it: AnswerReward(gold=…). Its columns: solution."),
        ({"answer": [""]}, "row 0: the gold answer is empty"),
        ({"answer": [None]}, "row 0: the gold answer is a NoneType"),
        ({"answer": [True]}, "row 0: the gold answer is a bool"),
    ],
)  # fmt: skip
def test_a_data_set_without_golds_is_one_line(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(Failure) as caught:
        rewarded(AnswerReward(), ["#### 4"], **columns)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        ("a", "a"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a\nb"),
        ({"role": "assistant", "content": None}, ""),
        ([{"content": [{"type": "text", "text": "a"}, {"type": "image"}, "b"]}], "ab"),
        (7, "7"),
    ],
)
def test_what_is_said(turns: object, text: str) -> None:
    assert said(turns) == text


@pytest.mark.slow
def test_grpo_trains_on_it(tmp_path: Path) -> None:
    """Three steps of the real trainer: what it logs is what we recount from the completions."""
    from datasets import Dataset
    from tiny import tiny_student
    from trl import GRPOConfig, GRPOTrainer

    student = tiny_student(tmp_path / "student")
    seen: list[tuple[str, str]] = []

    class Even(ExactChecker):
        """Right if reply and gold together have an even number of letters; says nothing to an empty reply."""

        def extract(self, reply: str, problem: Problem) -> str | None:
            seen.append((reply, problem.answer))
            return reply or None

        def compare(self, answer: str, problem: Problem) -> Verdict:
            return Verdict(outcome="wrong" if len(answer + problem.answer) % 2 else "right", method="even")

    rows = [{"prompt": f"Question how many apples {n}\n", "answer": str(n), "source": "made"} for n in range(8)]
    settings = GRPOConfig(
        output_dir=str(tmp_path / "out"), per_device_train_batch_size=4, num_generations=4, max_steps=3, logging_steps=1,
        max_completion_length=8, use_cpu=True, report_to=[], save_strategy="no", bf16=False, disable_tqdm=True,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=student.model,
        processing_class=student.tokenizer,
        args=settings,
        train_dataset=Dataset.from_list(rows),
        reward_funcs=[AnswerReward(checker=Even(), right=3.0)],
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(logged) == 3
    assert len(seen) == 12
    for number, entry in enumerate(logged):
        right = [bool(reply) and len(reply + gold) % 2 == 0 for reply, gold in seen[4 * number : 4 * number + 4]]
        assert entry["reward"] == pytest.approx(3 * sum(right) / 4)
        assert entry["rewards/answer_reward/mean"] == pytest.approx(3 * sum(right) / 4)
        assert entry["answers/right"] == pytest.approx(sum(right) / 4)
    assert 0 < sum(entry["reward"] for entry in logged) < 9


def test_a_document_is_graded() -> None:
    task = LMEvalTask()
    doc = {"question": "2+2?", "answer": "2+2 = 4\n#### 4"}
    assert task(doc, ["It is \\boxed{4}."]) == {"accuracy": 1.0, "ungradable": 0.0, "no_answer": 0.0}
    assert task(doc, ["It is \\boxed{5}."]) == {"accuracy": 0.0, "ungradable": 0.0, "no_answer": 0.0}
    assert task(doc, ["Who knows"]) == {"accuracy": 0.0, "ungradable": 0.0, "no_answer": 1.0}
    assert task(doc, [["#### 4", "#### 5", "no idea", "#### 4.0"]]) == {
        "accuracy": 0.5, "ungradable": 0.0, "no_answer": 0.25,
    }  # fmt: skip
    numeric = LMEvalTask("target", checker="numeric")
    assert numeric({"target": 9.0}, ["#### 9 eggs"])["accuracy"] == 1.0
    assert numeric({"target": "9 hens"}, ["#### 9 eggs"]) == {"accuracy": 0.0, "ungradable": 1.0, "no_answer": 0.0}
    with pytest.raises(Failure, match="no field 'answer'"):
        task({"question": "?"}, ["4"])


TASK = """
task: redink_sums
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 8}
process_results: !function redink_task.process_results
metric_list:
  - {metric: accuracy, aggregation: mean, higher_is_better: true}
  - {metric: ungradable, aggregation: mean, higher_is_better: false}
  - {metric: no_answer, aggregation: mean, higher_is_better: false}
"""
EVALUATION = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

class Says(LM):
    def generate_until(self, requests, **_):
        return ["#### 4" if "2+2" in request.args[0] else "no idea" if "?" not in request.args[0] else "#### 6" for request in requests]
    def loglikelihood(self, *_, **__): raise NotImplementedError
    def loglikelihood_rolling(self, *_, **__): raise NotImplementedError

results = simple_evaluate(model=Says(), tasks=["redink_sums"], task_manager=TaskManager(include_path=sys.argv[1]), bootstrap_iters=0)
print("RESULTS " + json.dumps(results["results"]["redink_sums"]))
"""


@pytest.mark.slow
def test_lm_eval_calls_it_from_a_task_file(tmp_path: Path) -> None:
    """The real harness, where it is installed: three documents, one right, one wrong, one without an answer."""
    pytest.importorskip("lm_eval")
    rows = [
        {"question": "2+2?", "answer": "4"},
        {"question": "2+3?", "answer": "5"},
        {"question": "2+5", "answer": "7"},
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.yaml").write_text(TASK.replace("DATA", str(data)))
    (tmp_path / "redink_task.py").write_text(
        "from redink.answers.rewards import LMEvalTask\n\nprocess_results = LMEvalTask(gold='answer')\n"
    )
    environment = {
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(sys.path),
    }
    ran = subprocess.run(
        [sys.executable, "-c", EVALUATION, str(tmp_path)], capture_output=True, text=True, env=environment, check=False
    )
    line = next((line for line in ran.stdout.splitlines() if line.startswith("RESULTS ")), None)
    assert line is not None, ran.stderr[-3000:]
    found = json.loads(line.removeprefix("RESULTS "))
    third = pytest.approx(1 / 3)
    assert (found["accuracy,none"], found["ungradable,none"], found["no_answer,none"]) == (third, 0.0, third)

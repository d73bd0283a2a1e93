"""redink's benchmarks as tasks of lm-evaluation-harness, and whether both count the same replies alike.

`write_task` makes a folder that `lm_eval --include_path <folder> --tasks redink_<name>` runs: the problems with the
student's prompt already filled in (`documents.jsonl`), the task (`redink_<name>.yaml`), and beside it `redink_task.py`,
where lm-eval's `!function` looks, with our extraction and our checker. `agreement` reads what lm_eval logged with
`--log_samples` and grades the very same replies as `redink evaluate` does.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from redink.answers.checkers import Checker, checker_of
from redink.answers.rewards import verdicts_of
from redink.evaluation.statistics import Estimate, clustered_proportion
from redink.failures import BadInput, Failure, MissingModel
from redink.models.bundled import ARCHITECTURES, SMOLLM2, bundled_folder
from redink.models.smollm2 import smollm2_folder
from redink.pipelines.tables import Table, percent
from redink.problems import fingerprint
from redink.prompts import Prompt
from redink.rows import read_json_lines, write_text
from redink.types import Problem, Row

DOCUMENTS, CODE = "documents.jsonl", "redink_task.py"
STOP = "</Answer>"
DEFAULT_REPLY = 1024
"""The longest reply, in tokens, where nothing else is said."""
_FIELDS = ("id", "question", "answer", "subject", "level", "source", "entry")
_TASK = """\
task: {task}
custom_dataset: !function redink_task.documents
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: answer
generation_kwargs: {generation}
repeats: {repeats}
{filters}process_results: !function redink_task.process_results
metric_list:
  - {{metric: accuracy, aggregation: mean, higher_is_better: true}}
  - {{metric: ungradable, aggregation: mean, higher_is_better: false}}
  - {{metric: no_answer, aggregation: mean, higher_is_better: false}}
metadata: {{version: 1.0}}
"""
_KEEP_ALL = """\
filter_list:
  - name: all
    filter:
      - {{function: take_first_k, k: {repeats}}}
"""
_CODE = '''\
"""Documents and scoring of the task beside this file, for lm-evaluation-harness; made by redink, which it needs."""

import json
from pathlib import Path

from datasets import Dataset

from redink import LMEvalTask, checker_of

process_results = LMEvalTask(gold="answer", question="question", checker=checker_of({checker}))


def documents(**_):
    """The problems beside this file, their prompts filled in."""
    text = (Path(__file__).parent / "documents.jsonl").read_text("utf-8")
    return {{"test": Dataset.from_list([json.loads(line) for line in text.split("\\n") if line])}}
'''


class WrittenTask(Row):
    """A task folder."""

    task: str = Field(description="The task's name for --tasks.")
    folder: str = Field(description="The folder for --include_path.")
    documents: int = Field(description="How many problems.")
    problems: str = Field(description="Fingerprint of the problems.")
    prompt: str = Field(description="The prompt's name.")
    chat: bool = Field(description="The prompts are user messages: lm_eval needs --apply_chat_template.")
    command: str = Field(description="What to type, in the shell.")


def write_task(
    folder: Path,
    name: str,
    problems: Sequence[Problem],
    prompt: Prompt,
    *,
    student: str = "",
    chat: bool | None = None,
    checker: str | Mapping[str, str] = "math",
    max_new_tokens: int | None = None,
    temperature: float = 0.0,
    repeats: int = 1,
) -> WrittenTask:
    """Write the task of a set of problems into `folder`, and say how to run it.

    `student` (bundled, smollm2, a folder or a hub id) is named in the command; its tokenizer says whether prompts are
    user messages (`chat`, which overrides it) or stand before a newline, as redink samples a student without template.
    A reply has `max_new_tokens`, by default 1,024 or what the student's context leaves beside the longest prompt.
    With `repeats` > 1 the figures are means over that many samples.
    Raises `Failure` if there is no problem, a greedy task is to be repeated, or the longest prompt leaves too little
    context (lm_eval would cut prompts without a word), `BadRecipe` for an unknown checker, `MissingModel` for an
    unknown student.
    """
    if not problems:
        raise Failure(f"{name}: there is no problem to make a task of.", "Raise --limit.")
    if repeats > 1 and temperature == 0:
        raise Failure(f"{repeats} greedy replies are the same.", "Give --temperature with --repeats.")
    checker_of(checker, {problem.source for problem in problems})
    pretrained = pretrained_of(student) if student else ""
    tokenizer, context = _known(student, pretrained) if student else (None, None)
    chatty = chat if chat is not None else tokenizer is None or tokenizer.chat_template is not None
    documents = [_document(problem, prompt, chatty) for problem in problems]
    longest = max(len(tokenizer.encode(str(row["prompt"]))) for row in documents) if tokenizer else 0
    reply = _room(max_new_tokens, longest, context)
    task = f"redink_{re.sub(r'[^A-Za-z0-9]+', '_', name).strip('_').lower()}"
    write_text(folder / DOCUMENTS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in documents))
    write_text(folder / f"{task}.yaml", _yaml(task, reply, temperature, repeats))
    write_text(folder / CODE, _CODE.format(checker=repr(checker if isinstance(checker, str) else dict(checker))))
    return WrittenTask(
        task=task,
        folder=str(folder),
        documents=len(documents),
        problems=fingerprint(problems),
        prompt=prompt.name,
        chat=chatty,
        command=_command(task, folder, pretrained or "MODEL", chatty),
    )


def pretrained_of(student: str) -> str:
    """Where lm_eval finds a student: the folder of a bundled one, else the name itself."""
    if student in ARCHITECTURES:
        return str(bundled_folder(student))
    return str(smollm2_folder()) if student == SMOLLM2 else student


def _known(student: str, pretrained: str) -> tuple[PreTrainedTokenizerBase, int | None]:
    """The student's tokenizer and the length of its context; its weights are not loaded."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(pretrained)
        config = AutoConfig.from_pretrained(pretrained).get_text_config()
    except Exception as failure:  # tokenizers and huggingface_hub raise kinds of their own
        reason = next(iter(str(failure).splitlines()), "no reason given")[:300]
        remedy = "Check the name: bundled, smollm2, a folder made by save_pretrained, or a hub id."
        raise MissingModel(f"{student}: its tokenizer cannot be loaded ({reason}).", remedy) from None
    return tokenizer, getattr(config, "max_position_embeddings", None)


def _document(problem: Problem, prompt: Prompt, chat: bool) -> dict[str, str | None]:
    fields = problem.model_dump(include=set(_FIELDS))
    return {**fields, "prompt": prompt.render(question=problem.question) + ("" if chat else "\n")}


def _room(wanted: int | None, longest: int, context: int | None) -> int:
    """Tokens for a reply; raises `Failure` if so many, or any at all, do not fit beside the longest prompt."""
    left = DEFAULT_REPLY if context is None else context - longest
    if left < 1 or (context is not None and (wanted or 1) > left):
        raise Failure(
            f"the longest prompt has {longest} tokens, of {context} that the student reads.",
            f"Allow shorter replies: --max-new-tokens {left}." if left > 0 else "Use a student of longer context.",
        )
    return wanted or min(DEFAULT_REPLY, left)


def _yaml(task: str, max_new_tokens: int, temperature: float, repeats: int) -> str:
    generation: dict[str, Any] = {"until": [STOP], "max_gen_toks": max_new_tokens, "do_sample": temperature > 0}
    if temperature > 0:
        generation |= {"temperature": temperature, "top_k": 0, "top_p": 1.0}
    filters = _KEEP_ALL.format(repeats=repeats) if repeats > 1 else ""
    return _TASK.format(task=task, generation=json.dumps(generation), repeats=repeats, filters=filters)


def _command(task: str, folder: Path, pretrained: str, chat: bool) -> str:
    """float32, because a student on a CPU is sampled so; the replies are logged, for `agreement`."""
    words = [
        "lm_eval", "--model", "hf", "--model_args", f"pretrained={pretrained},dtype=float32", "--include_path",
        str(folder), "--tasks", task, "--batch_size", "32", "--log_samples", "--output_path", str(folder / "results"),
    ]  # fmt: skip
    return shlex.join([*words, *(["--apply_chat_template"] if chat else [])])


class Agreement(Row):
    """The same replies, counted by lm_eval's task and by redink."""

    task: str = Field(description="The task.")
    documents: int = Field(description="How many problems.")
    replies: int = Field(description="How many replies; several per problem where the task repeats.")
    harness: Estimate = Field(description="Accuracy as lm_eval logged it, per reply, interval over problems.")
    ours: Estimate = Field(description="Accuracy of the same replies, extracted and checked by redink itself.")
    differing: tuple[str, ...] = Field(description="Ids of the problems on which the two counts differ.")


def agreement(samples: Path, checker: str | Mapping[str, str] = "math") -> Agreement:
    """Compare what lm_eval logged with our own grading of the logged replies.

    `samples` is a `samples_redink_*.jsonl` file, or a folder that holds one (the newest is taken). Raises `BadInput`
    naming file and line for a row that is none of such a task.
    """
    path = samples_file(samples)
    rows = [_logged(path, number, value) for number, value in read_json_lines(path)]
    if not rows:
        raise BadInput(path, "holds no logged replies.", "Run lm_eval with --log_samples.")
    right = _right([(problem, reply) for problem, replies, _ in rows for reply in replies], checker_of(checker))
    sizes = [len(replies) for _, replies, _ in rows]
    ends = [sum(sizes[:place]) for place in range(len(sizes) + 1)]
    ours = [sum(right[start:end]) for start, end in pairwise(ends)]
    theirs = [round(share * size) for (_, _, share), size in zip(rows, sizes, strict=True)]
    names = [problem.id for problem, _, _ in rows]
    return Agreement(
        task=re.sub(r"^samples_|_\d{4}-\d\d-\d\dT.*$", "", path.name.removesuffix(".jsonl")),
        documents=len(rows),
        replies=sum(sizes),
        harness=clustered_proportion(theirs, sizes),
        ours=clustered_proportion(ours, sizes),
        differing=tuple(name for name, one, other in zip(names, ours, theirs, strict=True) if one != other),
    )


def samples_file(path: Path) -> Path:
    """The file itself, or the newest `samples_redink_*.jsonl` under a folder; raises `Failure` if there is none."""
    if not path.is_dir():
        return path
    found = sorted(path.rglob("samples_redink_*.jsonl"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise Failure(f"{path} holds no samples_redink_*.jsonl.", "Run lm_eval with --log_samples and --output_path.")
    return found[-1]


def _right(replies: Sequence[tuple[Problem, str]], checker: Checker) -> list[bool]:
    verdicts = verdicts_of(checker, [reply for _, reply in replies], [problem for problem, _ in replies])
    return [verdict.right for verdict in verdicts]


def _logged(path: Path, number: int, value: Mapping[str, Any]) -> tuple[Problem, list[str], float]:
    """(problem, its replies, logged accuracy) of one line."""
    remedy = "It is the log of a task that `redink lm-eval-task` made, with --log_samples."
    try:
        fields = {name: value["doc"][name] for name in _FIELDS}
        replies, share = value["resps"][0], float(value["accuracy"])
        problem = Problem.model_validate(fields)
    except (KeyError, IndexError, TypeError, ValueError, ValidationError) as failure:
        reason = f"is no logged reply of a redink task ({type(failure).__name__}: {str(failure).splitlines()[0]})."
        raise BadInput(path, reason, remedy, line=number) from None
    return problem, [str(reply) for reply in (replies if isinstance(replies, list) else [replies])], share


def agreement_table(found: Agreement) -> Table:
    """One row: both counts."""
    same = found.documents - len(found.differing)
    return Table(
        title=f"{found.task}: lm_eval's log and redink on the same replies",
        columns=("replies", "lm_eval", "redink", "same verdicts"),
        rows=((str(found.replies), percent(found.harness), percent(found.ours), f"{same} of {found.documents}"),),
        note="%, [95 %]." + (f" They differ on: {', '.join(found.differing[:10])}." if found.differing else ""),
    )

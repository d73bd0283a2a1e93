"""The checker where others train and evaluate: a reward function for TRL's GRPO trainer, an entry for lm-eval.

TRL (1.16) calls reward functions with `prompts`, `completions` and `completion_ids`, every column of the data set
as a list, `trainer_state`, `log_extra` and `log_metric`, and takes one float (or None: no opinion) per completion:

    trainer = GRPOTrainer(model=…, train_dataset=…, reward_funcs=AnswerReward(gold="answer"))

lm-eval-harness calls a task's `process_results(doc, results)`; its `!function` looks only beside the YAML file, so a
file `redink_task.py` there holds the line `process_results = LMEvalTask(gold="answer")`. `docs/checkers.md` has both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redink.answers.checkers import NO_ANSWER, Checker, checker_of
from redink.failures import Failure
from redink.types import Problem, Verdict

UNSEEN = "(the question is not known here)"


class AnswerReward:
    """A reward function: `right` for a right answer, `wrong` for a wrong one, `ungradable` for what nobody can grade.

    A completion in which no answer is found earns `wrong`: the model can mend that. `ungradable` is None by
    default, TRL's word for "no opinion": such a completion counts in no other way than by other reward functions.
    """

    def __init__(
        self,
        gold: str = "answer",
        *,
        checker: str | Checker = "math",
        right: float = 1.0,
        wrong: float = 0.0,
        ungradable: float | None = None,
    ) -> None:
        """`gold` names the data set's column of gold answers; `checker` is a specification or a `Checker`.

        Raises `BadRecipe` for a specification that names no checker.
        """
        self.gold = gold
        self.checker = checker_of(checker) if isinstance(checker, str) else checker
        self.rewards = {"right": right, "wrong": wrong, "ungradable": ungradable}
        self.__name__ = "answer_reward"

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]] | None = None,
        *,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One reward per completion; prompts and completions are texts or conversations.

        Raises `Failure` if the data set has no column of gold answers.
        """
        if self.gold not in columns:
            there = ", ".join(sorted(name for name in columns if isinstance(columns[name], list))) or "none"
            raise Failure(
                f"the data set has no column '{self.gold}' of gold answers.",
                f"Name it: AnswerReward(gold=…). Its columns: {there}.",
            )
        problems = [
            as_problem(f"row {place}", said(prompt), gold, _at(columns, "source", place), _at(columns, "entry", place))
            for place, (prompt, gold) in enumerate(zip(prompts, columns[self.gold], strict=True))
        ]
        verdicts = verdicts_of(self.checker, [replied(completion) for completion in completions], problems)
        _log(verdicts, log_extra, log_metric)
        return [self._reward(verdict) for verdict in verdicts]

    def _reward(self, verdict: Verdict) -> float | None:
        return self.rewards["wrong" if verdict == NO_ANSWER else verdict.outcome]


class LMEvalTask:
    """A task's `process_results`: 1 or 0 for `accuracy`, `ungradable` and `no_answer`, each to be averaged."""

    def __init__(self, gold: str = "answer", *, question: str = "question", checker: str | Checker = "math") -> None:
        """`gold` and `question` name fields of the task's documents; raises `BadRecipe` for an unknown checker."""
        self.gold, self.question = gold, question
        self.checker = checker_of(checker) if isinstance(checker, str) else checker

    def __call__(self, doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
        """Grade the first result of one document; with repeats that a filter keeps, the mean over all of them.

        Raises `Failure` if the document has no gold answer.
        """
        if self.gold not in doc:
            raise Failure(f"the document has no field '{self.gold}'.", f"Its fields: {', '.join(sorted(doc))}.")
        first = results[0] if len(results) == 1 else list(results)
        replies = [str(reply) for reply in (first if isinstance(first, list | tuple) else [first])]
        question, source, entry = str(doc.get(self.question) or UNSEEN), doc.get("source"), doc.get("entry")
        problem = as_problem("document", question, doc[self.gold], source, entry)
        verdicts = verdicts_of(self.checker, replies, [problem] * len(replies))
        return {
            "accuracy": _share(verdict.right for verdict in verdicts),
            "ungradable": _share(verdict.outcome == "ungradable" and verdict != NO_ANSWER for verdict in verdicts),
            "no_answer": _share(verdict == NO_ANSWER for verdict in verdicts),
        }


def verdicts_of(checker: Checker, replies: Sequence[str], problems: Sequence[Problem]) -> list[Verdict]:
    """Extract and check a batch of replies, aligned with their problems; distinct pairs once where the checker can."""
    answers = [checker.extract(reply, problem) for reply, problem in zip(replies, problems, strict=True)]
    found = [place for place, answer in enumerate(answers) if answer is not None]
    checked = checker.compare_many([answers[i] or "" for i in found], [problems[i] for i in found])
    by_place = dict(zip(found, checked, strict=True))
    return [by_place.get(place, NO_ANSWER) for place in range(len(replies))]


def as_problem(name: str, question: str, gold: object, source: object = None, entry: object = None) -> Problem:
    """A problem of what a data set holds; a gold answer may be a number, or a worked solution that ends in `#### 18`.

    Raises `Failure` where the gold answer is empty or neither text nor a number.
    """
    if isinstance(gold, list | tuple) and len(gold) == 1:
        gold = gold[0]
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise Failure(f"{name}: the gold answer is a {type(gold).__name__}.", "It must be text or a number.")
    text = str(gold).rpartition("####")[2].strip()
    if not text:
        raise Failure(f"{name}: the gold answer is empty.", "Leave the row out.")
    return Problem(
        id=name,
        question=question or UNSEEN,
        answer=text,
        source=str(source or ""),
        entry=None if entry is None else str(entry),
    )


def replied(completion: object) -> str:
    """The text of a completion; of a conversation, what the assistant says and not what tools return."""
    if isinstance(completion, list | tuple):
        completion = [turn for turn in completion if not _by_tool(turn)]
    return said(completion)


def _by_tool(turn: object) -> bool:
    return isinstance(turn, Mapping) and turn.get("role", "assistant") != "assistant"


def said(turns: object) -> str:
    """The text of a prompt: itself, or the contents of a conversation's turns, one after the other."""
    if isinstance(turns, str):
        return turns
    if isinstance(turns, Mapping):
        turns = [turns]
    if not isinstance(turns, list | tuple):
        return str(turns)
    return "\n".join(_content(turn) for turn in turns)


def _content(turn: object) -> str:
    content = turn.get("content") if isinstance(turn, Mapping) else turn
    if isinstance(content, list | tuple):
        return "".join(str(part.get("text", "")) if isinstance(part, Mapping) else str(part) for part in content)
    return "" if content is None else str(content)


def _at(columns: Mapping[str, Any], name: str, place: int) -> object:
    column = columns.get(name)
    return column[place] if isinstance(column, list) else None


def _log(
    verdicts: Sequence[Verdict],
    log_extra: Callable[[str, list[Any]], None] | None,
    log_metric: Callable[[str, float], None] | None,
) -> None:
    if log_extra is not None:
        log_extra("verdict", [verdict.outcome for verdict in verdicts])
        log_extra("verdict_reason", [verdict.reason for verdict in verdicts])
    if log_metric is not None and verdicts:
        log_metric("answers/right", _share(verdict.right for verdict in verdicts))
        log_metric("answers/ungradable", _share(verdict.outcome == "ungradable" for verdict in verdicts))


def _share(flags: Any) -> float:
    listed = [bool(flag) for flag in flags]
    return sum(listed) / len(listed) if listed else 0.0

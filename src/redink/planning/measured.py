"""What an earlier run was like: lengths, shares, calls and speeds, read from its directory.

A stage's time is that from the end of the stage before it to its own, by the times of its files. What was there before
the run began, as files of another run, and a run whose files were all copied, have no such times. A run that was
interrupted counts the pause in the stage that it was in.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from redink.failures import BadInput
from redink.markup import render_thought, render_trace
from redink.models.ledger import Total
from redink.pipelines.evaluation import gold_chain
from redink.pipelines.workshop import BASE, is_gold
from redink.planning.wording import Wording
from redink.recipe import PlanCalls, PlanLengths, PlanRecipe, PlanShares, Recipe, kept_recipe
from redink.teaching.recheck import results_only
from redink.training.loop import TrainReport
from redink.types import (
    Attempt,
    ChainRow,
    CorrectionRow,
    ExposedError,
    OwnCorrection,
    PreferencePair,
    Problem,
    RefinedChain,
    Reflection,
    Review,
    Row,
    StageCounts,
    ThoughtRow,
)

R = TypeVar("R", bound=Row)
READ, COUNTED = 20_000, 400
"""Rows of a stage that are read for shares, and that are tokenised for lengths, at most."""
SHORTEST = 0.05
"""A stage that took less, in seconds, says nothing about speed."""
CHAINED = ("sft", "long_sft", "orion")
REPLAYED = "replay.reviews"


class StageMeasure(Row):
    """What one stage of a run did."""

    stage: str = Field(description="Its name; a model's for a training.")
    rows: int = Field(ge=0, description="Rows that entered.")
    out: int = Field(ge=0, description="Rows that came out.")
    tokens: float | None = Field(None, description="Tokens sampled or, of a training, read over all epochs.")
    seconds: float | None = Field(None, description="How long it took; None: the files do not say.")


class Measured(Row):
    """What a run was like, in the words of `[plan]`; what it cannot tell is missing."""

    run: str = Field(description="The run directory.")
    student: str = Field(description="Its student.")
    lengths: dict[str, float] = Field(description="Fields of PlanLengths.")
    shares: dict[str, float] = Field(description="Fields of PlanShares.")
    rates: dict[str, float] = Field(description="As in PlanSpeeds.rates.")
    calls: dict[str, PlanCalls] = Field(description="As in PlanRecipe.calls.")
    stages: tuple[StageMeasure, ...] = Field(description="Every finished stage.")
    disk: int = Field(ge=0, description="Bytes of the run directory.")

    def assumed(self, plan: PlanRecipe, speeds: bool = True, given: Collection[str] = ()) -> PlanRecipe:
        """The plan with what was measured in place of its values, all but the keys `given` (as 'shares.located').

        `speeds` False leaves the rates out: they belong to another student or machine.
        """
        found = self._found(speeds, given)
        rates = {**plan.speeds.rates, **found["speeds.rates"]}
        return plan.model_copy(
            update={
                "lengths": _filled(plan.lengths, found["lengths"], PlanLengths),
                "shares": _filled(plan.shares, found["shares"], PlanShares),
                "speeds": plan.speeds.model_copy(update={"rates": rates}),
                "calls": {**plan.calls, **found["calls"]},
            }
        )

    def keys(self, speeds: bool = True, given: Collection[str] = ()) -> list[str]:
        """The keys that `assumed` gives a measured value."""
        return [f"{table}.{key}" for table, found in self._found(speeds, given).items() for key in found]

    def _found(self, speeds: bool, given: Collection[str]) -> dict[str, dict[str, Any]]:
        tables: dict[str, Mapping[str, Any]] = {
            "lengths": self.lengths, "shares": self.shares, "calls": self.calls,
            "speeds.rates": self.rates if speeds else {},
        }  # fmt: skip
        return {
            table: {key: value for key, value in found.items() if not is_given(f"{table}.{key}", given)}
            for table, found in tables.items()
        }


def is_given(key: str, given: Collection[str]) -> bool:
    """Whether a key, or a table that it lies in, was given.

    >>> is_given("shares.located", {"shares"}), is_given("shares.located", {"shares.loc"})
    (True, False)
    """
    return any(f"{key}.".startswith(f"{each}.") for each in given)


def _filled(plan: R, measured: Mapping[str, float], kind: type[R]) -> R:
    return kind.model_validate({**plan.model_dump(include=plan.model_fields_set), **measured})


def measure(folder: Path) -> Measured:
    """Read a run directory, whole or unfinished. Raises `BadInput` if it is no recipe's, or has no finished stage."""
    recipe = kept_recipe(folder)
    if not isinstance(recipe, Recipe):
        raise BadInput(folder, "is an evaluation, not a run of a recipe.", "Name a run directory such as runs/demo.")
    reading = _Reading(folder, recipe)
    stages = reading.stages()
    if not stages:
        raise BadInput(folder, "has no finished stage.", "Let it run for a while first.")
    return Measured(
        run=str(folder),
        student=recipe.student,
        lengths=reading.lengths(),
        shares=reading.shares(stages),
        rates=_rates(stages, recipe),
        calls=reading.calls(stages),
        stages=tuple(stages.values()),
        disk=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


class _Reading:
    """One run directory under the eyes of `measure`."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        own = next((path.parent for path in sorted(folder.glob("*/tokenizer.json"))), None)
        self.words = Wording(str(own) if own else recipe.student, recipe.plan.chars_per_token)
        self.questions = {row.id: row.question for name in _SETS for row in self.rows(f"problems.{name}", Problem)}

    def rows(self, stage: str, kind: type[R], most: int = READ) -> list[R]:
        """The first rows of a stage; none where there is no such stage, or it is of another version."""
        path = self.folder / f"{stage}.jsonl"
        if not path.exists():
            return []
        try:
            with path.open(encoding="utf-8") as lines:
                return [kind.model_validate_json(line) for line in islice(lines, most)]
        except (OSError, ValidationError):
            return []

    def named(self, ending: str, kind: type[R]) -> dict[str, list[R]]:
        """The rows of every stage whose name ends so."""
        names = (path.name.removesuffix(".counts.json") for path in sorted(self.folder.glob("*.counts.json")))
        return {name: self.rows(name, kind) for name in names if name == ending or name.endswith(f".{ending}")}

    def mean(self, texts: Iterable[str]) -> float | None:
        """Mean tokens of texts, of the first `COUNTED` of them."""
        counted = [self.words.count(text) for text in islice(texts, COUNTED)]
        return sum(counted) / len(counted) if counted else None

    # ---------------------------------------------------------------- stages

    def stages(self) -> dict[str, StageMeasure]:
        """Every finished stage and training, with its tokens and its time."""
        seconds, found = self._seconds(), dict[str, StageMeasure]()
        for path in sorted(self.folder.glob("*.counts.json")):
            counts = StageCounts.model_validate_json(path.read_text("utf-8"))
            found[counts.stage] = StageMeasure(
                stage=counts.stage, rows=counts.inputs, out=counts.accepted, seconds=seconds.get(counts.stage),
                tokens=self._sampled(counts),
            )  # fmt: skip
        for path in sorted(self.folder.glob("*/training_report.json")):
            name, report = path.parent.name, TrainReport.model_validate_json(path.read_text("utf-8"))
            found[name] = StageMeasure(
                stage=name, rows=report.rows, out=report.rows, seconds=seconds.get(name),
                tokens=self._trained(name, report.rows),
            )  # fmt: skip
        for name, _, rows in self._repeats():
            tokens = float(sum(row.tokens for row in rows))
            found[name] = StageMeasure(
                stage=name, rows=len(rows), out=len(rows), tokens=tokens, seconds=seconds.get(name)
            )
        return found

    def _seconds(self) -> dict[str, float]:
        """Time from the end of one stage to the end of the next, by the files' times."""
        ends = {path.name.removesuffix(".counts.json"): _time(path) for path in self.folder.glob("*.counts.json")}
        ends |= {path.parent.name: _time(path) for path in self.folder.glob("*/training_report.json")}
        ends |= {name: end for name, end, _ in self._repeats()}
        begun = _time(self.folder / "recipe.json")
        order = sorted(((name, end) for name, end in ends.items() if end > begun), key=lambda item: item[1])
        drawn = max((_time(path) for path in self.folder.glob("problems.*.jsonl")), default=begun)
        times = [min(max(begun, drawn), order[0][1]) if order else 0.0, *(end for _, end in order)]
        if times[-1] - times[0] < 1:
            return {}
        return {name: after - before for (name, _), (before, after) in zip(order, pairwise(times), strict=True)}

    def _repeats(self) -> list[tuple[str, float, list[Attempt]]]:
        """Name, end and replies of the repeated solutions of each model."""
        found = []
        for series in sorted(self.folder.glob("attempts/evaluation/*/series.json")):
            files = sorted(series.parent.glob("*/*.jsonl"))
            rows = [row for file in files for row in _attempts(file)]
            if rows:
                name = f"attempts/evaluation/{series.parent.name}"
                found.append((name, max(map(_time, files)), rows))
        return found

    def _sampled(self, counts: StageCounts) -> float | None:
        """Tokens that a stage of the student wrote, or read to score."""
        kind = kind_of(counts.stage, self.recipe)
        if kind is None or kind == "teach" or not counts.accepted:
            return None
        if kind == "score":
            return counts.accepted * self._scored(counts.stage)
        row_kind = _ROW_KINDS[kind]
        if kind == "solve" and counts.stage.startswith("evaluate.reflexion."):
            row_kind = Attempt if counts.stage.endswith("attempts") else Review
        rows: list[Any] = list(self.rows(counts.stage, row_kind))
        if not rows:
            return None
        told = [row.tokens for row in rows if getattr(row, "tokens", 0)]
        mean = sum(told) / len(told) if told else self.mean(row.text for row in rows)
        return None if mean is None else mean * counts.accepted

    def _scored(self, stage: str) -> float:
        """Tokens that are read to score one reply."""
        problems = list(self.questions.values())
        prompts = self.recipe.prompts
        texts: Iterable[str] = (row.text for row in self.rows("refinement", RefinedChain))
        prompt = prompts.chain
        if stage == "exposure.scores":
            texts, prompt = (row.text for row in self.rows("exposure.attempts", Attempt)), prompts.base
        elif stage.endswith("perplexity"):
            solved = self.rows("problems.evaluation", Problem, COUNTED)
            texts, prompt = (gold_chain(row) or "" for row in solved), prompts.solve
        return (self.mean(problems) or 0.0) + (self.mean(texts) or 0.0) + self.words.tokens_of(prompt)

    def _trained(self, model: str, rows: int) -> float | None:
        """Tokens that a training read, over its epochs."""
        if preference(model):
            pairs = self._pairs_of(model)
            mean = self.mean(row.prompt for row in pairs)
            sides = self.mean(f"{row.prefix}{row.chosen}{row.rejected}" for row in pairs)
            if mean is None or sides is None:
                return None
            epochs = self.recipe.exposure.dpo.epochs if model == "error_prone" else self.recipe.cross_dpo.epochs
            return rows * (mean + 1 + sides) * epochs
        lesson = self._lesson(model)
        return None if lesson is None else rows * lesson * self.recipe.hsft.epochs

    def _pairs_of(self, model: str) -> list[PreferencePair]:
        stem = model.removeprefix("cross_dpo").lstrip("_")
        before = f"round{stem}." if stem.isdigit() else ""
        name = "exposure.pairs" if model == "error_prone" else f"{before}pairs"
        at_right_steps = (f"{before}confirmations", f"{before}counterparts")
        return [row for stage in (name, *at_right_steps) for row in self.rows(stage, PreferencePair)]

    def _lesson(self, model: str) -> float | None:
        """Mean tokens of a lesson, replayed reviews included."""
        prompts = self.recipe.prompts
        name = prompts.chain if model in CHAINED else prompts.solve
        taught: list[tuple[str, str]] = [
            (row.problem_id, render_thought(row.thought)) for row in self.rows("thoughts", ThoughtRow)
        ] if model == "hsft" else [
            (row.problem_id, row.text)
            for stage in _LEARNT.get(model, ())
            for row in self.rows(stage, ChainRow)
        ]  # fmt: skip
        own = self.mean(f"{self.questions.get(place, '')} {text}" for place, text in taught)
        if own is None:
            return None
        own += self.words.tokens_of(name) + 1
        reviews = self.rows(REPLAYED, Review)
        if not reviews:
            return own
        return (own * len(taught) + self._replayed(reviews) * len(reviews)) / (len(taught) + len(reviews))

    def _replayed(self, reviews: Sequence[Review]) -> float:
        shown = {row.problem_id: self._as_shown(row) for row in self.rows("replay.attempts", Attempt)}
        shown |= {name: gold_chain(problem) for name, problem in self.replayed_golds.items()}
        texts = (
            f"{self.questions.get(row.problem_id, '')} {shown[row.problem_id]} {row.text}"
            for row in reviews
            if row.problem_id in shown
        )
        return (self.mean(texts) or 0.0) + self.words.tokens_of(self.recipe.prompts.correct) + 1

    @cached_property
    def replayed_golds(self) -> dict[str, Problem]:
        """The problems whose gold solutions were reviewed in the replay, by id."""
        problems = self.rows("problems.thoughts", Problem)
        share = self.recipe.hsft.replay_gold
        return {row.id: row for place, row in enumerate(problems) if is_gold(place, row, share)}

    def _as_shown(self, row: Attempt) -> str:
        return results_only(row).text if self.recipe.review.results_only else row.text

    # ---------------------------------------------------------------- lengths and shares

    def lengths(self) -> dict[str, float]:
        """Mean tokens of everything that is there."""
        problems = [row for name in _SETS for row in self.rows(f"problems.{name}", Problem, COUNTED)]
        attempts = self._attempts_by_class()
        taught = attempts["taught"] or attempts["chained"]
        reviews = self.named("reviews", Review)
        alarms = [row for rows in self.named("alarms", Review).values() for row in rows]
        of_base = [(name, row) for name, rows in reviews.items() for row in rows if _is_base(name)]
        of_gold = [row for name, row in of_base if name == REPLAYED and row.problem_id in self.replayed_golds]
        of_own = [row for name, row in of_base if name != REPLAYED or row.problem_id not in self.replayed_golds]
        of_others = [
            row for name, rows in reviews.items() for row in rows if not _is_base(name) and "flexion" not in name
        ]
        traces = [row for rows in self.named("corrections", CorrectionRow).values() for row in rows]
        pairs = [row for row in self.rows("pairs", PreferencePair) if row.kind == "error"]
        steps = [row for row in self.rows("pairs", PreferencePair) if row.kind == "step"]
        right = [row for name in ("counterparts", "confirmations") for row in self.rows(name, PreferencePair)]
        solved = [row for row in problems if row.solution]
        found = {
            "question": self.mean(row.question for row in problems),
            "gold": self.mean(str(row.solution) for row in solved),
            "plain_chain": self.mean(gold_chain(row) or "" for row in solved),
            "thought": self.mean(render_thought(row.thought) for row in self.rows("thoughts", ThoughtRow)),
            "long_chain": self.mean(row.text for row in self.rows("long_chains", ChainRow)),
            "refined_chain": self.mean(row.text for row in self.rows("refinement", RefinedChain)),
            "base_solution": self._told(attempts["base"]),
            "chain_solution": self._told(attempts["chained"]),
            "solution": self._told(attempts["taught"]),
            "shown": self.mean(self._as_shown(row) for row in taught),
            "base_review": self._told(of_own),
            "gold_review": self._told(of_gold),
            "review": self._told(of_others or alarms),
            "alarm": self._told(alarms),
            "trace": self.mean(render_trace(row.trace) for row in traces),
            "prefix": self.mean(row.prefix for row in pairs or steps),
            "chosen": self.mean(row.chosen for row in pairs),
            "rejected": self.mean(row.text for row in self.rows("own_corrections", OwnCorrection)),
            "given_step": self.mean(
                row.text for rows in self.named("given_location", OwnCorrection).values() for row in rows
            ),
            "step": self.mean(row.chosen for row in steps or right),
            "reflection": self.mean(
                row.text for name in self._reflections() for row in self.rows(name, Reflection)
            ),
        }  # fmt: skip
        return {name: value for name, value in found.items() if value}

    def _reflections(self) -> list[str]:
        files = sorted(self.folder.glob("evaluate.reflexion.reflections.*.counts.json"))
        return [path.name.removesuffix(".counts.json") for path in files]

    def _told(self, rows: Sequence[Attempt] | Sequence[Review]) -> float | None:
        """Mean tokens as the rows tell them, else by their texts."""
        told = [row.tokens for row in rows if row.tokens]
        return sum(told) / len(told) if told else self.mean(row.text for row in rows)

    def _attempts_by_class(self) -> dict[str, list[Attempt]]:
        """Attempts of the base, of students that learnt chains, and of the others."""
        found: dict[str, list[Attempt]] = {"base": [], "chained": [], "taught": []}
        stages = self.named("attempts", Attempt) | self.named("scout", Attempt)
        for name, rows in stages.items():
            model = name.split(".")[1] if name.startswith("evaluate.") else ""
            found["base" if _is_base(name) else "chained" if model in CHAINED else "taught"] += rows
        return found

    def shares(self, stages: Mapping[str, StageMeasure]) -> dict[str, float]:
        """What became of the rows."""
        attempts = self.named("attempts", Attempt)
        drawn = [
            row
            for name, rows in attempts.items()
            if name.partition(".")[0] != "evaluate" and not _is_base(name)
            for row in rows
            if name != "exposure.attempts"
        ]
        greedy = {name.split(".")[1]: rows for name, rows in attempts.items() if name.startswith("evaluate.")}
        preferred = [row for model, rows in greedy.items() if preference(model) for row in rows]
        taught = [row for model, rows in greedy.items() if model != BASE and not preference(model) for row in rows]
        rounds = [row.rounds for row in self.rows("thoughts", ThoughtRow)]
        rounds += [row.rounds for row in self.rows("corrections", CorrectionRow)]
        exposed = self.rows("exposure", ExposedError)
        found = {
            "base_right": _right(self._attempts_by_class()["base"]),
            "sampled_right": _right(drawn or taught),
            "taught_right": _right(taught or drawn),
            "preferred_right": _right(preferred),
            "thoughts": _kept(stages, lambda name: name == "thoughts"),
            "chains": _kept(stages, lambda name: name == "long_chains"),
            "located": _kept(stages, lambda name: name.endswith("corrections") and "own_" not in name),
            "pairs": _kept(stages, lambda name: name.endswith("pairs") and "exposure" not in name),
            "false_alarms": _kept(stages, lambda name: name.endswith("confirmations")),
            "counterparts": _kept(stages, lambda name: name.endswith("counterparts")),
            "rewritings": _kept(stages, lambda name: name == "refinement"),
            "rounds": sum(rounds) / len(rounds) if rounds else None,
            "exposed": len({row.problem_id for row in exposed}) / stages["long_chains"].out
            if exposed and stages.get("long_chains") and stages["long_chains"].out
            else None,
            "errors_shown": len(exposed) / len({row.problem_id for row in exposed}) if exposed else None,
        }
        return {name: value for name, value in found.items() if value is not None}

    # ---------------------------------------------------------------- calls

    def calls(self, stages: Mapping[str, StageMeasure]) -> dict[str, PlanCalls]:
        """What chat models were asked, by the ledger."""
        try:
            totals = [
                Total.model_validate(row) for row in json.loads((self.folder / "ledger.json").read_text())["totals"]
            ]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        names = {who: getattr(self.recipe, who).model for who in ("teacher", "inspector")}
        if names["teacher"] == names["inspector"] and self.recipe.inspector.kind == "openai":
            names["inspector"] = ""  # one model: the teacher's line holds the calls of both
        found: dict[str, list[tuple[Total, int]]] = defaultdict(list)
        for total in totals:
            role = _role(total.stage)
            for who, model in names.items():
                if role and model and total.model == model and total.stage in stages:
                    found[f"{role}.{who}"].append((total, stages[total.stage].rows))
        bills = {key: _per_row(rows) for key, rows in found.items()}
        if not names["inspector"]:
            nothing = PlanCalls(per_row=0, prompt=0, completion=0)
            bills |= {key.replace(".teacher", ".inspector"): nothing for key in list(bills)}
        return bills


_SETS = ("thoughts", "errors", "evaluation")
_LEARNT = {"sft": ("plain_chains",), "long_sft": ("long_chains",), "orion": ("learned",)}
_ROW_KINDS: dict[str, type[Row]] = {
    "solve": Attempt, "review": Review, "own_step": OwnCorrection, "reflect": Reflection, "rewrite": RefinedChain,
}  # fmt: skip


def kind_of(stage: str, recipe: Recipe) -> str | None:
    """What kind of work a stage is, as rates are named; None: its time says nothing."""
    if stage == "refinement":
        return "rewrite" if recipe.refinement.by == "student" else None
    if stage == "evaluate.reflexion.reviews" or stage.startswith("attempts/"):
        return "solve"
    return next((kind for names, kind in _KINDS if set(stage.split(".")) & names), None)


_KINDS = (
    ({"attempts", "scout", "trained_attempts", "retries"}, "solve"),
    ({"reviews", "alarms"}, "review"),
    ({"own_corrections", "given_location", "made_alarms"}, "own_step"),
    ({"reflections"}, "reflect"),
    ({"perplexity", "scores"}, "score"),
    ({"thoughts", "corrections", "long_chains"}, "teach"),
)


def preference(model: str) -> bool:
    """Whether a model was trained on pairs."""
    return "dpo" in model or model == "error_prone"


def _is_base(stage: str) -> bool:
    return stage.startswith(("evaluate.base", "replay.", "exposure.attempts", "attempts/evaluation/base"))


def _rates(stages: Mapping[str, StageMeasure], recipe: Recipe) -> dict[str, float]:
    """Tokens a second by kind of work, all stages of a kind together; rows a second for a teacher by rule."""
    sums: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, stage in stages.items():
        kind = kind_of(name, recipe) or ("preference" if preference(name) else "supervised")
        amount = float(stage.rows) if kind == "teach" else stage.tokens
        if kind is None or not amount or not stage.seconds or stage.seconds < SHORTEST:
            continue
        if kind == "teach" and recipe.teacher.kind != "reference":
            continue
        sums[kind].append((amount, stage.seconds))
        if _is_base(name):
            sums[f"{kind}.{BASE}"].append((amount, stage.seconds))
    return {kind: sum(a for a, _ in parts) / sum(s for _, s in parts) for kind, parts in sums.items()}


def _role(stage: str) -> str | None:
    last = stage.rpartition(".")[2]
    return last if last in ("thoughts", "corrections", "long_chains", "refinement") else None


def _per_row(rows: Sequence[tuple[Total, int]]) -> PlanCalls:
    calls = sum(total.calls for total, _ in rows)
    inputs = sum(count for _, count in rows)
    return PlanCalls(
        per_row=calls / inputs if inputs else 0,
        prompt=sum(total.prompt_tokens for total, _ in rows) / max(calls, 1),
        cached=sum(total.cached_tokens for total, _ in rows) / max(calls, 1),
        completion=sum(total.completion_tokens for total, _ in rows) / max(calls, 1),
    )


def _kept(stages: Mapping[str, StageMeasure], chosen: Callable[[str], bool]) -> float | None:
    rows = sum(stage.rows for name, stage in stages.items() if chosen(name))
    return sum(stage.out for name, stage in stages.items() if chosen(name)) / rows if rows else None


def _right(rows: Sequence[Attempt]) -> float | None:
    return sum(row.verdict.right for row in rows) / len(rows) if rows else None


def _attempts(path: Path) -> list[Attempt]:
    try:
        return [Attempt.model_validate_json(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValidationError):
        return []


def _time(path: Path) -> float:
    return path.stat().st_mtime

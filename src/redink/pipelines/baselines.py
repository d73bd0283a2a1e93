"""What the papers compare with, made of the same stages: HSFT alone, SFT on chains, DPO, Step-DPO, Reflexion.

A majority vote needs no pipeline: `[evaluation] repeats` gives maj@k of every model (`evaluation/majority.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from redink.failures import Failure
from redink.markup import render_thought
from redink.pipelines.evaluation import gold_chain
from redink.pipelines.orion import long_chains
from redink.pipelines.panels import results_of
from redink.pipelines.results import Results
from redink.pipelines.supercorrect import Round, hsft
from redink.pipelines.workshop import (
    BASE,
    NO_PROBLEMS_LEFT,
    Stages,
    Workshop,
    about,
    first_wrong,
    follow,
    numbered,
    with_length,
)
from redink.progress import Advance
from redink.prompts import load_prompt
from redink.recipe import Recipe
from redink.run import Run
from redink.stages.chunks import Chunked
from redink.stages.preferences import solution_pairs, step_pair
from redink.stages.reflexion import Written, reflect, retry
from redink.types import Attempt, ChainRow, PreferencePair, Problem, Reflection, Rejected, Review, Row

Follow = Callable[[Run[Recipe], Path | None, str], Results | None]
HSFT_STAGES = ("thoughts", "hsft", "evaluate")
SFT_STAGES = ("chains", "sft", "evaluate")
DPO_STAGES = ("thoughts", "hsft", "attempts", "pairs", "dpo", "evaluate")
STEP_DPO_STAGES = ("thoughts", "hsft", "attempts", "corrections", "pairs", "dpo", "evaluate")
REFLEXION_STAGES = HSFT_STAGES


def baseline(
    stages: Callable[[Workshop], Stages],
    seeds: Sequence[str],
    chain_model: str = "",
    weights: dict[str, str] | None = None,
) -> Follow:
    """A baseline that can be followed up to a stage; `chain_model` is asked by `prompts.chain`."""

    def run_it(run: Run[Recipe], data_dir: Path | None = None, until: str = "evaluate") -> Results | None:
        asks = {chain_model: run.recipe.prompts.chain} if chain_model else {}
        with Workshop(run, data_dir, (*seeds, "evaluate", "repeats"), asks, weights) as shop:
            return follow(stages(shop), until)

    return run_it


def _hsft(shop: Workshop) -> Stages:
    """HSFT alone, on thoughts in the recipe's style: an arm of SuperCorrect's table 8."""
    yield from hsft(shop)
    return results_of(shop, (BASE, "hsft"))


def _sft(shop: Workshop) -> Stages:
    """SFT on plain chains of thought: the gold solutions, a step per line."""

    def outcomes() -> list[Row]:
        return [_plain_chain(problem) for problem in shop.sets.thoughts]

    chains = shop.settled("plain_chains", ChainRow, outcomes)
    if not chains:
        raise Failure("no problem has a gold solution to learn from.", NO_PROBLEMS_LEFT)
    yield "chains"
    shop.supervised("sft", lambda: shop.chain_lessons("sft", chains))
    yield "sft"
    return results_of(shop, (BASE, "sft"))


def _plain_chain(problem: Problem) -> ChainRow | Rejected:
    text = gold_chain(problem)
    if not text:
        return Rejected(problem_id=problem.id, stage="plain_chains", reason="no_solution")
    return ChainRow(problem_id=problem.id, text=text)


def _long_sft(shop: Workshop) -> Stages:
    """SFT on the teacher's long chains as they are: ORION's main baseline."""
    chains = long_chains(shop)
    yield "chains"
    shop.supervised("long_sft", lambda: shop.chain_lessons("long_sft", chains))
    yield "sft"
    return results_of(shop, (BASE, "long_sft"))


def _dpo(shop: Workshop) -> Stages:
    """HSFT, then DPO on whole solutions: a right one, the student's own or the teacher's, over a wrong one."""
    lessons = yield from hsft(shop)
    attempts = Round(shop, 1, "hsft").attempts()
    yield "attempts"
    pairs = _solution_pairs(shop, attempts)
    yield "pairs"
    shop.preferred("dpo", "hsft", pairs, shop.recipe.cross_dpo, lessons)
    yield "dpo"
    return results_of(shop, (BASE, "hsft", "dpo"))


def _solution_pairs(shop: Workshop, attempts: Sequence[Attempt]) -> list[PreferencePair]:
    wrong = first_wrong(attempts, shop.recipe.pairs.per_problem)
    solved = {row.problem_id for row in attempts if row.verdict.right}
    open_ = {row.problem_id for row in wrong} - solved
    asked = [problem for problem in shop.sets.errors if problem.id in open_]
    written = shop.thoughts("solutions.thoughts", asked) if asked else []
    teachers = {row.problem_id: render_thought(row.thought) for row in written}

    def outcomes() -> Sequence[Row]:
        return solution_pairs(shop.sets.errors, wrong, attempts, teachers, shop.solve)

    return _some(shop.settled("pairs", PreferencePair, outcomes))


def _step_dpo(shop: Workshop) -> Stages:
    """HSFT, then DPO on the next step: the right one over the student's wrong one, without a cause."""
    lessons = yield from hsft(shop)
    this = Round(shop, 1, "hsft")
    attempts = this.attempts()
    yield "attempts"
    corrections = this.corrections(shop.shown(attempts))
    yield "corrections"
    rows = zip(*about(corrections, shop.sets.errors, attempts), corrections, strict=True)
    pairs = _some(shop.settled("pairs", PreferencePair, lambda: [step_pair(*row, shop.solve) for row in rows]))
    yield "pairs"
    shop.preferred("step_dpo", "hsft", pairs, shop.recipe.cross_dpo, lessons)
    yield "dpo"
    return results_of(shop, (BASE, "hsft", "step_dpo"))


def _some(pairs: list[PreferencePair]) -> list[PreferencePair]:
    if not pairs:
        raise Failure("no preference pair was made.", NO_PROBLEMS_LEFT)
    return pairs


def _reflexion(shop: Workshop) -> Stages:
    """HSFT, and at inference a reflection and another try in place of the review; nothing more is trained."""
    yield from hsft(shop)
    return results_of(shop, (BASE, "hsft", "reflexion"), lambda attempts: _second_tries(shop, attempts))


def _second_tries(shop: Workshop, attempts: Sequence[Attempt]) -> list[Review]:
    """The last of `reflexion.trials` retries of each evaluation problem, greedy."""
    problems, trials = shop.sets.evaluation, shop.recipe.reflexion.trials
    written: Sequence[Written] = attempts
    memories: list[list[Reflection]] = [[] for _ in problems]
    tries: list[Review] = []
    for trial in range(trials):
        for memory, reflection in zip(memories, _reflections(shop, problems, written, trial), strict=True):
            memory.append(reflection)
        stage = "reviews" if trial == trials - 1 else f"retries.{trial}"
        written = tries = _retries(shop, stage, problems, attempts, memories)
    return tries


def _reflections(
    shop: Workshop, problems: Sequence[Problem], written: Sequence[Written], trial: int
) -> list[Reflection]:
    prompt = load_prompt(shop.recipe.prompts.reflect)
    greedy = with_length(shop.sampling("evaluate", 0.0, ()), shop.recipe.reflexion.max_new_tokens)
    shelf, name = shop.shelf, shop.placed("reflexion")

    def make(rows: Sequence[tuple[Problem, Written]], number: int, advance: Advance) -> Sequence[Row]:
        asked, texts = [row[0] for row in rows], [row[1] for row in rows]
        return reflect(asked, texts, shelf.student(name), prompt, numbered(greedy, number), trial, advance)

    chunked: Chunked[tuple[Problem, Written], Reflection] = Chunked(
        f"evaluate.reflexion.reflections.{trial}", Reflection, make
    )
    return shop.run.stage(chunked, list(zip(problems, written, strict=True)), unit="reflections")


def _retries(
    shop: Workshop,
    stage: str,
    problems: Sequence[Problem],
    attempts: Sequence[Attempt],
    memories: Sequence[Sequence[Reflection]],
) -> list[Review]:
    prompt, greedy = load_prompt(shop.recipe.prompts.retry), shop.sampling("evaluate", 0.0)
    shelf, name, checker = shop.shelf, shop.placed("reflexion"), shop.checker

    def make(
        rows: Sequence[tuple[Problem, Attempt, Sequence[Reflection]]], number: int, advance: Advance
    ) -> Sequence[Row]:
        asked, tried, said = ([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
        return retry(asked, tried, said, shelf.student(name), prompt, numbered(greedy, number), advance, checker)

    inputs = list(zip(problems, attempts, memories, strict=True))
    return shop.run.stage(Chunked(f"evaluate.reflexion.{stage}", Review, make), inputs, unit="retries")


hsft_alone = baseline(_hsft, ("hsft",))
sft = baseline(_sft, ("sft",), "sft")
long_sft = baseline(_long_sft, ("long_sft",), "long_sft")
dpo = baseline(_dpo, ("hsft", "attempts", "dpo"))
step_dpo = baseline(_step_dpo, ("hsft", "attempts", "step_dpo"))
reflexion = baseline(_reflexion, ("hsft",), weights={"reflexion": "hsft"})

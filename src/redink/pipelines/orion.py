"""ORION (arXiv 2505.22131), top to bottom: teacher's long chains → error exposure → refinement → SFT → figures."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redink.evaluation.perplexity import ChainScore, score_chains
from redink.failures import Failure
from redink.pipelines.panels import results_of
from redink.pipelines.results import Results
from redink.pipelines.staff import taught
from redink.pipelines.supercorrect import Lessons, cross_dpo_rounds, round_models, round_seeds
from redink.pipelines.workshop import (
    BASE,
    NO_PROBLEMS_LEFT,
    Stages,
    Workshop,
    first_wrong,
    follow,
    numbered,
    with_length,
)
from redink.progress import Advance
from redink.prompts import Prompt, load_prompt
from redink.recipe import Recipe
from redink.run import Run
from redink.stages.chains import write_chain, written
from redink.stages.chunks import Chunked
from redink.stages.exposure import Likelihoods, expose
from redink.stages.preferences import solution_pairs
from redink.stages.refinement import (
    STAGE,
    RefinePrompts,
    ToRefine,
    best,
    by_rule,
    judged,
    no_refinements,
    refine,
    whole,
)
from redink.training.encoding import Lesson
from redink.types import (
    Attempt,
    ChainRow,
    ExposedError,
    LocatedError,
    PreferencePair,
    Problem,
    Quarantined,
    RefinedChain,
    Row,
    Tried,
)

STAGES = ("long-chains", "exposure", "refinement", "sft", "evaluate")
COMBINED_STAGES = (*STAGES[:-1], "attempts", "corrections", "pairs", "cross-dpo", "evaluate")
MODEL, ERROR_PRONE = "orion", "error_prone"
SEEDS = ("exposure.attempts", "exposure.trained_attempts", ERROR_PRONE, "refinement", MODEL, "evaluate", "repeats")
COMBINED_SEEDS = (*SEEDS, "attempts", "own_corrections", "alarms", "made_alarms", "cross_dpo")


def orion(run: Run[Recipe], data_dir: Path | None = None, until: str = "evaluate") -> Results | None:
    """Do every stage up to `until` (one of `STAGES`), going on where the run directory left off; see `supercorrect`."""
    with _workshop(run, data_dir, SEEDS) as shop:
        return follow(_stages(shop), until)


def orion_supercorrect(run: Run[Recipe], data_dir: Path | None = None, until: str = "evaluate") -> Results | None:
    """Both methods, which neither paper tried: the refined chains in place of thoughts, then Cross-DPO."""
    with _workshop(run, data_dir, (*COMBINED_SEEDS, *round_seeds(run.recipe))) as shop:
        return follow(_combined(shop, until), until)


def _workshop(run: Run[Recipe], data_dir: Path | None, seeds: Sequence[str]) -> Workshop:
    prompts = run.recipe.prompts
    after = {model: prompts.chain for model in round_models(run.recipe)}  # they go on from MODEL
    return Workshop(run, data_dir, seeds, {MODEL: prompts.chain, ERROR_PRONE: prompts.base, **after})


def _stages(shop: Workshop) -> Stages:
    """The method, in the order of the paper."""
    yield from _taught(shop)
    return results_of(shop, (BASE, MODEL))


def _combined(shop: Workshop, until: str) -> Stages:
    lessons = yield from _taught(shop)
    models = yield from cross_dpo_rounds(shop, MODEL, lessons, until)
    return results_of(shop, models)


def _taught(shop: Workshop) -> Generator[str, None, Lessons]:
    chains = long_chains(shop)
    yield "long-chains"
    errors = _exposed(shop, chains)
    yield "exposure"
    learned = _refined(shop, chains, errors)
    yield "refinement"

    def lessons() -> list[Lesson]:
        return shop.chain_lessons(MODEL, learned)

    shop.supervised(MODEL, lessons)
    yield "sft"
    return lessons


# -------------------------------------------------------------------- the teacher's chains


def long_chains(shop: Workshop) -> list[ChainRow]:
    """The teacher writes a long chain of thought for each problem."""
    staff = shop.staff

    async def work(problem: Problem, before: Sequence[Tried]) -> Row:
        return await write_chain(problem, staff.teacher, staff.patience, before, shop.checker)

    rows = taught(shop.run, staff, "long_chains", ChainRow, shop.sets.thoughts, work)
    if not rows:
        raise Failure("no long chain of thought was accepted.", NO_PROBLEMS_LEFT)
    return rows


def _problems(shop: Workshop, chains: Sequence[ChainRow]) -> list[Problem]:
    by_id = {problem.id: problem for problem in shop.sets.thoughts}
    return [by_id[row.problem_id] for row in chains]


# -------------------------------------------------------------------- error exposure


@dataclass(frozen=True)
class _Exposed:
    """The student's attempts, and those that stand for its distinct errors."""

    attempts: Sequence[Attempt] = ()
    errors: Sequence[ExposedError] = ()

    def by_problem(self) -> dict[str, list[Attempt]]:
        groups: dict[str, list[Attempt]] = {}
        for row in self.attempts_of_errors():
            groups.setdefault(row.problem_id, []).append(row)
        return groups

    def attempts_of_errors(self) -> list[Attempt]:
        by_key = {(row.problem_id, row.sample): row for row in self.attempts}
        return [by_key[error.problem_id, error.sample] for error in self.errors]


def _exposed(shop: Workshop, chains: Sequence[ChainRow]) -> _Exposed:
    """The student samples solutions; distinct wrong ones are kept, by the recipe's strategy."""
    wanted, problems = shop.recipe.exposure, _problems(shop, chains)
    if wanted.by == "nobody":
        return _Exposed()
    attempts = _sampled(shop, "exposure.attempts", BASE, problems)
    if wanted.by == "trained":
        _train_exposure(shop, problems, attempts, chains)
        attempts = _sampled(shop, "exposure.trained_attempts", ERROR_PRONE, problems)
    nll = _likelihoods(shop, problems, attempts) if wanted.strategy == "probable" else {}

    def outcomes() -> list[Row]:
        groups: dict[str, list[Attempt]] = {problem.id: [] for problem in problems}
        for row in attempts:
            groups[row.problem_id].append(row)
        return [
            outcome for problem in problems
            for outcome in expose(problem, groups[problem.id], wanted.strategy, wanted.keep, nll, shop.checker)
        ]  # fmt: skip

    return _Exposed(attempts, shop.settled("exposure", ExposedError, outcomes))


def _sampled(shop: Workshop, stage: str, model: str, problems: Sequence[Problem]) -> list[Attempt]:
    sampling = shop.sampling(stage, shop.recipe.sampling.temperature)
    return shop.attempts(stage, model, problems, sampling, shop.recipe.exposure.samples, whole=False)


def _train_exposure(
    shop: Workshop, problems: Sequence[Problem], attempts: Sequence[Attempt], chains: Sequence[ChainRow]
) -> None:
    """The exposure model: DPO with the student's own errors chosen and what the gold answer bears out rejected."""
    graded = [row for row in attempts if row.verdict.outcome != "ungradable"]
    wrong, teachers = first_wrong(graded, shop.recipe.exposure.samples), {row.problem_id: row.text for row in chains}

    def outcomes() -> Sequence[Row]:
        return solution_pairs(problems, wrong, graded, teachers, shop.prompt_of(BASE), prefer_errors=True)

    pairs = shop.settled("exposure.pairs", PreferencePair, outcomes)
    if not pairs:
        raise Failure("the student makes no errors that an exposure model could learn.", NO_PROBLEMS_LEFT)
    shop.preferred(ERROR_PRONE, BASE, pairs, shop.recipe.exposure.dpo)


def _likelihoods(shop: Workshop, problems: Sequence[Problem], attempts: Sequence[Attempt]) -> Likelihoods:
    """−log p of each wrong attempt by the student itself."""
    questions = {problem.id: problem.question for problem in problems}
    wrong = [row for row in attempts if row.verdict.outcome == "wrong"]
    scored = _scored(
        shop, "exposure.scores", shop.prompt_of(BASE), [(questions[row.problem_id], row.text) for row in wrong]
    )
    return {(row.problem_id, row.sample): score.nll for row, score in zip(wrong, scored, strict=True)}


def _scored(shop: Workshop, stage: str, prompt: Prompt, inputs: Sequence[tuple[str, str]]) -> list[ChainScore]:
    """How likely the base student finds chains as replies to their questions: a stage."""

    shelf, name = shop.shelf, shop.placed(BASE)

    def make(rows: Sequence[tuple[str, str]], number: int, advance: Advance) -> Sequence[Row]:
        asked, chains = [prompt.render(question=question) for question, _ in rows], [chain for _, chain in rows]
        return score_chains(shelf.student(name), asked, chains, advance=advance)

    return shop.run.stage(Chunked(stage, ChainScore, make), inputs, unit="chains")


# -------------------------------------------------------------------- refinement


def _refined(shop: Workshop, chains: Sequence[ChainRow], exposed: _Exposed) -> list[ChainRow]:
    """For each problem the rewriting that suits the student best, else the teacher's chain."""
    if shop.recipe.refinement.by == "nobody":
        return shop.run.keep("learned", lambda: chains, ChainRow)
    rows = _to_refine(shop, chains, exposed.errors)
    if shop.recipe.refinement.by == "student":
        tried = _by_student(shop, rows)
    elif shop.recipe.refinement.by == "teacher":
        tried = _by_teacher(shop, rows, exposed)
    else:
        tried = _by_rule(shop, rows, exposed)
    questions = {row.problem.id: row.problem.question for row in rows}
    inputs = [(questions[row.problem_id], row.text) for row in tried]
    scores = _scored(shop, "refinement.scores", shop.prompt_of(MODEL), inputs)
    cost = {(row.problem_id, row.sample): score.perplexity for row, score in zip(tried, scores, strict=True)}
    chosen = {row.problem_id: row for row in shop.settled("refined", RefinedChain, lambda: best(rows, tried, cost))}

    def learned() -> list[ChainRow]:
        return [
            ChainRow(problem_id=row.problem_id, text=chosen[row.problem_id].text) if row.problem_id in chosen else row
            for row in chains
        ]

    return shop.run.keep("learned", learned, ChainRow)


def _to_refine(shop: Workshop, chains: Sequence[ChainRow], errors: Sequence[ExposedError]) -> list[ToRefine]:
    by_problem: dict[str, list[ExposedError]] = {row.problem_id: [] for row in chains}
    for error in errors:
        by_problem[error.problem_id].append(error)
    pairs = zip(_problems(shop, chains), chains, strict=True)
    return [ToRefine(problem, row, tuple(by_problem[row.problem_id])) for problem, row in pairs]


def _by_student(shop: Workshop, rows: Sequence[ToRefine]) -> list[RefinedChain]:
    """The student reflects on its errors and rewrites the chain, several times."""
    wanted, prompts = shop.recipe.refinement, shop.recipe.prompts
    asked = RefinePrompts(
        load_prompt(prompts.refine if wanted.reflect else prompts.rewrite), load_prompt(prompts.refine_unexposed)
    )
    sampling = with_length(shop.sampling("refinement", wanted.temperature), wanted.max_new_tokens)
    shelf, name, checker = shop.shelf, shop.placed(BASE), shop.checker

    def make(some: Sequence[ToRefine], number: int, advance: Advance) -> Sequence[Row]:
        drawn = numbered(sampling, number, wanted.tries)
        return refine(some, shelf.student(name), asked, drawn, wanted.max_similarity, advance, checker)

    chunked: Chunked[ToRefine, RefinedChain] = Chunked(
        STAGE, RefinedChain, make, spoiled=partial(no_refinements, samples=wanted.tries)
    )
    return shop.run.stage(chunked, rows, per_input=wanted.tries, unit="rewritings")


def _by_teacher(shop: Workshop, rows: Sequence[ToRefine], exposed: _Exposed) -> list[RefinedChain]:
    """The teacher rewrites its chain for the student that made these errors."""
    staff, shown = shop.staff, exposed.by_problem()
    by_id = {row.problem.id: row for row in rows}

    async def work(chain: ChainRow, before: Sequence[Tried]) -> Row:
        row = by_id[chain.problem_id]

        async def make(remarks: Sequence[str]) -> str:
            return await staff.teacher.refinement(row.problem, chain.text, shown.get(row.problem.id, ()), remarks)

        text = await written(STAGE, row.problem, make, staff.patience, before)
        if isinstance(text, Quarantined):
            return text
        return judged(row, whole(text), 0, shop.recipe.refinement.max_similarity, shop.checker)

    return taught(shop.run, staff, STAGE, RefinedChain, [row.chain for row in rows], work)


def _by_rule(shop: Workshop, rows: Sequence[ToRefine], exposed: _Exposed) -> list[RefinedChain]:
    """The teacher's chain, cut by rule to what this student's attempts show that it needs."""
    wanted = shop.recipe.refinement
    located = _located(shop, rows, exposed) if wanted.reflect else {}

    def outcomes() -> list[Row]:
        return [by_rule(row, located.get(row.problem.id), wanted.max_similarity, shop.checker) for row in rows]

    return shop.settled(STAGE, RefinedChain, outcomes)


def _located(shop: Workshop, rows: Sequence[ToRefine], exposed: _Exposed) -> dict[str, list[LocatedError]]:
    """For each problem that the student could be graded at, its errors in which the teacher finds the wrong step."""
    found: dict[str, list[LocatedError]] = {
        row.problem_id: [] for row in exposed.attempts if row.verdict.outcome != "ungradable"
    }
    wrong = exposed.attempts_of_errors()
    for trace in shop.corrections("exposure.corrections", [row.problem for row in rows], wrong) if wrong else ():
        if error := trace.trace.error:
            found[trace.problem_id].append(error)
    return found

"""What each method does, stage by stage, as lines on a sheet; the pipelines of the same names say why."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from redink.pipelines.methods import models_of
from redink.pipelines.supercorrect import in_round, round_model
from redink.pipelines.workshop import BASE
from redink.planning.sheet import Asked, Sheet
from redink.stages.styles import STAGE as STYLED
from redink.stages.styles import style_prompt

CHAINED = ("sft", "long_sft", "orion")
"""Models that learnt chains of thought, and are asked for them."""


# -------------------------------------------------------------------- what is asked


def _solve_prompt(sheet: Sheet) -> str:
    prompts = sheet.recipe.prompts
    return style_prompt(sheet.recipe.style, prompts.solve, prompts.style)


def solution_by(sheet: Sheet, model: str) -> Asked:
    """How a model is asked for a solution, and how long its solutions are."""
    prompts, lengths = sheet.recipe.prompts, sheet.recipe.plan.lengths
    if model in (BASE, "error_prone"):
        return Asked(prompts.base, lengths.question, lengths.base_solution)
    if model in CHAINED:
        return Asked(prompts.chain, lengths.question, lengths.chain_solution)
    prompt = prompts.chain if sheet.recipe.method == "orion-supercorrect" else _solve_prompt(sheet)
    return Asked(prompt, lengths.question, lengths.solution)


def right_by(sheet: Sheet, model: str) -> float:
    """Share of a model's solutions that are right."""
    shares = sheet.recipe.plan.shares
    if model in (BASE, "error_prone"):
        return shares.base_right
    return shares.preferred_right if "dpo" in model else shares.taught_right


def review_by(sheet: Sheet, model: str = "") -> Asked:
    """How a student is asked for a review, and how long its reviews are."""
    lengths = sheet.recipe.plan.lengths
    own = lengths.base_review if model == BASE else lengths.review
    return Asked(sheet.recipe.prompts.correct, lengths.question + lengths.shown, own)


def wrong_kept(problems: float, samples: int, right: float, per_problem: int) -> float:
    """Wrong solutions that are kept: problems · E[min(W, per_problem)], W of `samples` wrong independently.

    >>> wrong_kept(100, 1, 0.6, 1), wrong_kept(100, 2, 0.5, 1), wrong_kept(100, 2, 0.5, 2)
    (40.0, 75.0, 100.0)
    """
    wrong = 1 - right
    chance = [math.comb(samples, n) * wrong**n * right ** (samples - n) for n in range(samples + 1)]
    return problems * sum(p * min(n, per_problem) for n, p in enumerate(chance))


# -------------------------------------------------------------------- parts of methods


def _attempts(sheet: Sheet, stage: str, model: str, problems: float, samples: int = 1) -> None:
    limit = sheet.recipe.sampling.max_new_tokens
    sheet.sampled(stage, model, problems, "solve", solution_by(sheet, model), limit, samples)


def _reviews(sheet: Sheet, stage: str, model: str, rows: float) -> None:
    sheet.sampled(stage, model, rows, "review", review_by(sheet, model), sheet.recipe.sampling.max_review_tokens)


def _thoughts(sheet: Sheet, stage: str, problems: float) -> float:
    prompts, lengths, shares = sheet.recipe.prompts, sheet.recipe.plan.lengths, sheet.recipe.plan.shares
    about = lengths.question + lengths.gold
    teacher = Asked(prompts.extract_thought, about, lengths.thought)
    inspector = Asked(prompts.inspect_thought, about + lengths.thought, lengths.verdict)
    return sheet.taught(stage, problems, shares.thoughts, teacher, inspector, "thoughts")


def _corrections(sheet: Sheet, stage: str, wrong: float) -> float:
    prompts, lengths, shares = sheet.recipe.prompts, sheet.recipe.plan.lengths, sheet.recipe.plan.shares
    about = lengths.question + lengths.gold + lengths.shown
    teacher = Asked(prompts.correct_with_solution, about, lengths.trace)
    inspector = Asked(prompts.inspect_trace, about + lengths.trace, lengths.verdict)
    return sheet.taught(stage, wrong, shares.located, teacher, inspector, "corrections")


def _long_chains(sheet: Sheet) -> float:
    lengths = sheet.recipe.plan.lengths
    teacher = Asked(sheet.recipe.prompts.long_chain, lengths.question + lengths.gold, lengths.long_chain)
    return sheet.taught("long_chains", sheet.recipe.problems.thoughts, sheet.recipe.plan.shares.chains, teacher)


def _supervised(sheet: Sheet, model: str, rows: float, reply: float) -> None:
    """Fine-tuning on so many lessons of `reply` tokens, and on replayed reviews."""
    asked, review = solution_by(sheet, model), _replayed_review(sheet)
    lessons = [(rows, sheet.words.tokens_of(asked.prompt) + asked.given, reply + 1)]
    replayed = min(round(sheet.recipe.hsft.replay * rows), sheet.recipe.problems.thoughts)
    if replayed:
        _attempts(sheet, "replay.attempts", BASE, replayed)
        sheet.sampled("replay.reviews", BASE, replayed, "review", review, sheet.recipe.sampling.max_review_tokens)
        lessons.append((replayed, sheet.words.tokens_of(review.prompt) + review.given, review.reply + 1))
    sheet.lesson_tokens = sum(n * (prompt + reply) for n, prompt, reply in lessons) / sum(n for n, _, _ in lessons)
    sheet.supervised(model, lessons)


def _replayed_review(sheet: Sheet) -> Asked:
    """A review that is replayed: `hsft.replay_gold` of them are of gold solutions, which have lengths of their own.

    A review copies the steps that it reviews, so without a measured one its length goes with theirs.
    """
    lengths, share, own = sheet.recipe.plan.lengths, sheet.recipe.hsft.replay_gold, review_by(sheet, BASE)
    of_gold = lengths.gold_review or own.reply * lengths.plain_chain / lengths.base_solution
    given = lengths.question + (1 - share) * lengths.shown + share * lengths.plain_chain
    return Asked(own.prompt, given, (1 - share) * own.reply + share * of_gold)


def _hsft(sheet: Sheet) -> None:
    thoughts = _thoughts(sheet, "thoughts", sheet.recipe.problems.thoughts)
    if sheet.recipe.style != "xml":
        sheet.ruled(STYLED, thoughts, thoughts, sheet.recipe.plan.lengths.thought, teaching=False)
    _supervised(sheet, "hsft", thoughts, sheet.recipe.plan.lengths.thought)


def _wrong_attempts(sheet: Sheet, stage: str, model: str, problems: float) -> float:
    """Attempts at the error set; the wrong ones that are kept."""
    samples, right = sheet.recipe.sampling.samples, sheet.recipe.plan.shares.sampled_right
    _attempts(sheet, stage, model, problems, samples)
    return wrong_kept(problems, samples, right, sheet.recipe.pairs.per_problem)


def _rounds(sheet: Sheet, taught: str) -> None:
    last = taught
    for number in range(1, sheet.recipe.rounds + 1):
        problems: float = sheet.recipe.problems.errors
        if number > 1:
            _attempts(sheet, in_round("scout", number), last, problems)
            problems = round(sheet.recipe.redraw * problems)
        _round(sheet, number, last, problems)
        last = round_model(number)


def _round(sheet: Sheet, number: int, last: str, problems: float) -> None:
    """Attempts → corrections → pairs → Cross-DPO, once."""
    recipe, lengths, shares = sheet.recipe, sheet.recipe.plan.lengths, sheet.recipe.plan.shares
    wrong = _wrong_attempts(sheet, in_round("attempts", number), last, problems)
    located = _corrections(sheet, in_round("corrections", number), wrong)
    review, limit = review_by(sheet), recipe.sampling.max_review_tokens
    own = Asked(review.prompt, review.given + lengths.prefix, lengths.rejected)
    sheet.sampled(in_round("own_corrections", number), last, located, "own_step", own, limit)
    pairs = located * shares.pairs
    sides = lengths.chosen + lengths.rejected
    sheet.ruled(in_round("pairs", number), located, pairs, review.given + lengths.prefix + sides, teaching=False)
    right = min(located, problems * recipe.sampling.samples * shares.sampled_right)
    alarms = _alarms(sheet, number, last, right)
    made = _counterparts(sheet, number, last, right)
    rows = pairs + alarms + made.rows
    if rows:
        before = ((pairs + alarms) * lengths.prefix + made.rows * made.prefix) / rows
        shared = sheet.words.tokens_of(review.prompt) + review.given + before
        sides = ((pairs + alarms) * sides + made.rows * made.sides) / rows
        sheet.preferred(round_model(number), rows, shared, sides, recipe.cross_dpo)


class _Pairs(NamedTuple):
    """Pairs of one sort: how many, tokens of the steps before, and of both sides."""

    rows: float
    prefix: float
    sides: float


def _counterparts(sheet: Sheet, number: int, last: str, right: float) -> _Pairs:
    """Alarms that the student is made to write at a step of each right attempt, and the pairs (a recipe switch).

    Any step is as likely as another, so half of the others stand before it, as a review that finds no error copies them
    (`alarm`). The alarm is begun for the student halfway through the step, and goes on as its own corrections do.
    """
    lengths, review = sheet.recipe.plan.lengths, review_by(sheet)
    before, begun = max(0.0, lengths.alarm - lengths.step) / 2, lengths.step / 2
    if not sheet.recipe.pairs.counterparts or not right:
        return _Pairs(0.0, before, 0.0)
    asked = Asked(review.prompt, review.given + before + begun, lengths.rejected)
    limit, pairs = sheet.recipe.sampling.max_review_tokens, right * sheet.recipe.plan.shares.counterparts
    sheet.sampled(in_round("made_alarms", number), last, right, "own_step", asked, limit)
    sides = lengths.step + begun + lengths.rejected
    sheet.ruled(in_round("counterparts", number), right, pairs, review.given + before + sides, teaching=False)
    return _Pairs(pairs, before, sides)


def _alarms(sheet: Sheet, number: int, last: str, right: float) -> float:
    """Reviews of right attempts, and the pairs made of false alarms (a recipe switch)."""
    wanted, plan = sheet.recipe.pairs.confirmations, sheet.recipe.plan
    if not wanted or not right:
        return 0.0
    asked = replace(review_by(sheet), reply=plan.lengths.alarm)
    stage, limit = in_round("alarms", number), sheet.recipe.sampling.max_review_tokens
    sheet.sampled(stage, last, right, "review", asked, limit, wanted)
    pairs = right * wanted * plan.shares.false_alarms
    sheet.ruled(in_round("confirmations", number), right * wanted, pairs, teaching=False)
    return pairs


def _evaluated(sheet: Sheet) -> None:
    """Solutions, second answers, the teacher's corrections and the rest, of every model of the method."""
    for model in models_of(sheet.recipe):
        _panel(sheet, model)


def _panel(sheet: Sheet, model: str) -> None:
    problems, lengths = sheet.recipe.problems.evaluation, sheet.recipe.plan.lengths
    name = f"evaluate.{model}"
    _attempts(sheet, f"{name}.attempts", model, problems)
    if model == "reflexion":
        _second_tries(sheet, problems)
    else:
        _reviews(sheet, f"{name}.reviews", model, problems)
    located = _corrections(sheet, f"{name}.corrections", problems * (1 - right_by(sheet, model)))
    review = review_by(sheet)
    step = Asked(review.prompt, review.given + lengths.prefix, lengths.given_step)
    sheet.sampled(f"{name}.given_location", model, located, "own_step", step, sheet.recipe.sampling.max_review_tokens)
    asked = sheet.words.tokens_of(_solve_prompt(sheet)) + lengths.question
    sheet.scored(f"{name}.perplexity", model, problems, asked + lengths.plain_chain, lengths.plain_chain)
    repeats = sheet.recipe.evaluation
    if repeats.repeats:
        _attempts(sheet, f"attempts/evaluation/{model}", model, min(problems, repeats.repeat_problems), repeats.repeats)


def _second_tries(sheet: Sheet, problems: float) -> None:
    """Reflections and retries (Reflexion)."""
    wanted, prompts, lengths = sheet.recipe.reflexion, sheet.recipe.prompts, sheet.recipe.plan.lengths
    shown = lengths.question + lengths.shown
    for trial in range(wanted.trials):
        reflect = Asked(prompts.reflect, shown, lengths.reflection)
        name, last = f"evaluate.reflexion.reflections.{trial}", trial == wanted.trials - 1
        sheet.sampled(name, "reflexion", problems, "reflect", reflect, wanted.max_new_tokens)
        again = Asked(prompts.retry, shown + (trial + 1) * lengths.reflection, lengths.solution)
        stage = f"evaluate.reflexion.{'reviews' if last else f'retries.{trial}'}"
        sheet.sampled(stage, "reflexion", problems, "solve", again, sheet.recipe.sampling.max_new_tokens)


# -------------------------------------------------------------------- ORION


def _orion(sheet: Sheet) -> None:
    chains = _long_chains(sheet)
    errors = _exposure(sheet, chains)
    learned = _refinement(sheet, chains, errors)
    _supervised(sheet, "orion", chains, learned)


def _exposure(sheet: Sheet, problems: float) -> float:
    """The student's own errors; how many are shown."""
    wanted, shares, lengths = sheet.recipe.exposure, sheet.recipe.plan.shares, sheet.recipe.plan.lengths
    if wanted.by == "nobody":
        return 0.0
    _attempts(sheet, "exposure.attempts", BASE, problems, wanted.samples)
    wrong = problems * wanted.samples * (1 - shares.base_right)
    asked = sheet.words.tokens_of(sheet.recipe.prompts.base) + lengths.question
    if wanted.by == "trained":
        pairs = wrong * shares.solution_pairs
        sheet.ruled("exposure.pairs", wrong, pairs, asked + 2 * lengths.base_solution, teaching=False)
        sheet.preferred("error_prone", pairs, asked, 2 * lengths.base_solution, wanted.dpo)
        _attempts(sheet, "exposure.trained_attempts", "error_prone", problems, wanted.samples)
    if wanted.strategy == "probable":
        sheet.scored("exposure.scores", BASE, wrong, asked + lengths.base_solution, lengths.base_solution)
    shown = problems * shares.exposed * shares.errors_shown
    sheet.ruled("exposure", problems * wanted.samples, shown, lengths.base_solution, teaching=False)
    return shown


def _refinement(sheet: Sheet, chains: float, errors: float) -> float:
    """Rewritings of the chains; the mean length of what is learnt."""
    wanted, prompts, lengths = sheet.recipe.refinement, sheet.recipe.prompts, sheet.recipe.plan.lengths
    if wanted.by == "nobody" or not chains:
        return lengths.long_chain
    share, tries = sheet.recipe.plan.shares.rewritings, wanted.tries if wanted.by == "student" else 1
    shown = lengths.question + lengths.long_chain + errors / chains * lengths.base_solution
    if wanted.by == "student":
        prompt = prompts.refine if wanted.reflect else prompts.rewrite
        asked = Asked(prompt, shown, lengths.refined_chain + lengths.reflection * wanted.reflect)
        sheet.sampled("refinement", BASE, chains, "rewrite", asked, wanted.max_new_tokens, tries)
    elif wanted.by == "teacher":
        sheet.taught("refinement", chains, share, Asked(prompts.refine_as_teacher, shown, lengths.refined_chain))
    else:
        if errors:
            _corrections(sheet, "exposure.corrections", errors)
        sheet.ruled("refinement", chains, chains * share, lengths.refined_chain, teaching=False)
    asked_for = sheet.words.tokens_of(prompts.chain) + lengths.question
    scored = chains * tries * share
    sheet.scored("refinement.scores", BASE, scored, asked_for + lengths.refined_chain, lengths.refined_chain)
    replaced = 1 - (1 - share) ** tries
    sheet.ruled("refined", chains, chains * replaced, lengths.refined_chain, teaching=False)
    return replaced * lengths.refined_chain + (1 - replaced) * lengths.long_chain


# -------------------------------------------------------------------- methods


def supercorrect(sheet: Sheet) -> None:
    """SuperCorrect: thoughts, HSFT, rounds of corrections and Cross-DPO."""
    _hsft(sheet)
    _rounds(sheet, "hsft")
    _evaluated(sheet)


def orion(sheet: Sheet) -> None:
    """ORION: long chains, exposure, refinement, SFT."""
    _orion(sheet)
    _evaluated(sheet)


def orion_supercorrect(sheet: Sheet) -> None:
    """Both."""
    _orion(sheet)
    _rounds(sheet, "orion")
    _evaluated(sheet)


def sft(sheet: Sheet) -> None:
    """SFT on plain chains."""
    problems, length = sheet.recipe.problems.thoughts, sheet.recipe.plan.lengths.plain_chain
    sheet.ruled("plain_chains", problems, problems, length, teaching=False)
    _supervised(sheet, "sft", problems, length)
    _evaluated(sheet)


def long_sft(sheet: Sheet) -> None:
    """SFT on the teacher's long chains."""
    _supervised(sheet, "long_sft", _long_chains(sheet), sheet.recipe.plan.lengths.long_chain)
    _evaluated(sheet)


def hsft(sheet: Sheet) -> None:
    """HSFT alone."""
    _hsft(sheet)
    _evaluated(sheet)


def dpo(sheet: Sheet) -> None:
    """HSFT, then DPO on whole solutions."""
    lengths, shares = sheet.recipe.plan.lengths, sheet.recipe.plan.shares
    _hsft(sheet)
    problems = sheet.recipe.problems.errors
    wrong = _wrong_attempts(sheet, "attempts", "hsft", problems)
    at_all_wrong = problems * (1 - shares.sampled_right) ** sheet.recipe.sampling.samples
    if at_all_wrong:
        _thoughts(sheet, "solutions.thoughts", at_all_wrong)
    asked = sheet.words.tokens_of(_solve_prompt(sheet)) + lengths.question
    sides = lengths.solution + lengths.thought
    sheet.ruled("pairs", wrong, wrong * shares.solution_pairs, asked + sides, teaching=False)
    sheet.preferred("dpo", wrong * shares.solution_pairs, asked, sides, sheet.recipe.cross_dpo)
    _evaluated(sheet)


def step_dpo(sheet: Sheet) -> None:
    """HSFT, then DPO on the next step."""
    lengths = sheet.recipe.plan.lengths
    _hsft(sheet)
    wrong = _wrong_attempts(sheet, "attempts", "hsft", sheet.recipe.problems.errors)
    located = _corrections(sheet, "corrections", wrong)
    asked = sheet.words.tokens_of(_solve_prompt(sheet)) + lengths.question + lengths.prefix
    sheet.ruled("pairs", located, located, asked + 2 * lengths.step, teaching=False)
    sheet.preferred("step_dpo", located, asked, 2 * lengths.step, sheet.recipe.cross_dpo)
    _evaluated(sheet)


def reflexion(sheet: Sheet) -> None:
    """HSFT, then reflections at inference."""
    hsft(sheet)


PLANS: dict[str, Callable[[Sheet], None]] = {
    "supercorrect": supercorrect,
    "orion": orion,
    "orion-supercorrect": orion_supercorrect,
    "hsft": hsft,
    "sft": sft,
    "long-sft": long_sft,
    "dpo": dpo,
    "step-dpo": step_dpo,
    "reflexion": reflexion,
}
"""How each method of `pipelines/methods.py` is reckoned."""

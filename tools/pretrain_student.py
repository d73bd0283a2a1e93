"""Pre-train the tiny student that ships in `src/redink/assets/student`.

    python tools/pretrain_student.py --out tools/out/student --tokens 10_000_000

What it learns, by design (docs/student.md): plain chains of thought for short story problems (half-learned),
arithmetic in small steps (drills), and reviewing a solution with perfect copying but *weak judgement*: most
wrong steps pass unnoticed. It never sees a hierarchical thought as an answer to a question, and no question
for which `held_out` is true. Killed and started again with the same command, it continues.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from redink.models.tokenizers import load_tokenizer
from redink.problems import load_problems, stories
from redink.problems.folds import held_out
from redink.problems.worked import in_longer_lines
from redink.teaching.arithmetic import spell_out
from redink.types import Problem

CHAIN_SUM = "reasoning_gym:chain_sum?min_terms=3&max_terms=6&min_digits=1&max_digits=2&within=0..199"
VERBS = {"+": "Add", "-": "Subtract", "*": "Multiply"}
EQUATION = re.compile(r"(\d+)((?: [-+*] \d+)+) = ")
OUTCOMES = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}


Term = tuple[str, int]


@dataclass(frozen=True)
class Equation:
    """`first operator number …`, left to right, and the value that the solution states for it (right or not)."""

    first: int
    terms: tuple[Term, ...]
    stated: int

    @property
    def values(self) -> list[int]:
        """What it comes to after each operation."""
        return list(accumulate(self.terms, lambda value, term: OUTCOMES[term[0]](value, term[1]), initial=self.first))[
            1:
        ]

    @property
    def value(self) -> int:
        return self.values[-1]

    @property
    def setup(self) -> str:
        return " ".join([str(self.first), *(f"{operator} {number}" for operator, number in self.terms)])

    @property
    def operands(self) -> list[int]:
        return [self.first, *(number for _, number in self.terms)]

    @property
    def fits(self) -> bool:
        """Whether every number in it is one that the student is taught."""
        return all(0 <= number <= stories.LIMIT for number in (*self.operands, *self.values, self.stated))

    def states(self, stated: int) -> Equation:
        return replace(self, stated=stated)


def right_equation(first: int, terms: Iterable[Term]) -> Equation:
    equation = Equation(first, tuple(terms), 0)
    return equation.states(equation.value)


def gold_equations(problem: Problem, operations: int = 1) -> list[Equation]:
    """The equations of the worked solution, with up to so many sums and differences in one."""
    solution = in_longer_lines(problem.solution or "", operations)
    found = [(int(first), re.findall(r" ([-+*]) (\d+)", rest)) for first, rest in EQUATION.findall(solution)]
    return [right_equation(first, ((operator, int(number)) for operator, number in rest)) for first, rest in found]


# ---------------------------------------------------------------- how a solution reads


def spelled(equation: Equation, slip: random.Random | None = None) -> list[str]:
    """The equation in small steps; with `slip`, one of them is off and the rest follow from it."""
    lines, left = [], equation.first
    for (operator, number), value in zip(equation.terms, equation.values, strict=True):
        lines += spell_out(left, operator, number)
        left = value
    off = equation.stated - equation.value
    return slipped(lines, off, slip) if off and slip else lines


def slipped(lines: list[str], offset: int, rng: random.Random) -> list[str]:
    """Make one small step wrong by `offset`; later steps that use its value carry it on."""
    at = rng.randrange(len(lines))
    moved: dict[int, int] = {}
    result = []
    for index, line in enumerate(lines):
        left, operator, right, _, value = line.split()
        a, b = moved.get(int(left), int(left)), moved.get(int(right), int(right)) if operator != "*" else int(right)
        new = OUTCOMES[operator](a, b) + (offset if index == at else 0)
        if index >= at:
            moved = {int(value): new}
        result.append(f"{a} {operator} {b} = {new}")
    return result


def step_body(equation: Equation, keyed: bool, rng: random.Random) -> tuple[str, Equation]:
    """The inside of one step, and the equation with the value that this step really ends in."""
    if not keyed:
        return f"{equation.setup} = {equation.stated}", equation
    lines = spelled(equation, rng)
    ended = equation.states(int(lines[-1].rsplit(" ", 1)[1]))
    return f"{equation.setup}<Key>{', '.join(lines)}</Key>", ended


def generalized(equations: list[Equation]) -> str:
    verbs = [VERBS[operator] for equation in equations for operator, _ in equation.terms]
    kept = [verb for index, verb in enumerate(verbs) if index == 0 or verb != verbs[index - 1]]
    sentence = ", then ".join([kept[0], *(verb.lower() for verb in kept[1:])])
    return f"<Generalized>{sentence}.</Generalized>"


def plain_solution(equations: list[Equation]) -> str:
    steps = [f"<Step{n}>{e.setup} = {e.stated}</Step{n}>" for n, e in enumerate(equations, 1)]
    return "\n".join([*steps, f"<Answer>{equations[-1].stated}</Answer>"])


# ---------------------------------------------------------------- wrong solutions


def follow(equations: list[Equation], gold: list[Equation], start: int, moved: dict[int, int]) -> list[Equation]:
    """Recompute the gold equations after `start` where they use a value that has changed."""
    for equation in gold[start:]:
        terms = ((operator, moved.get(number, number)) for operator, number in equation.terms)
        changed = right_equation(moved.get(equation.first, equation.first), terms)
        moved[equation.value] = changed.value
        equations.append(changed)
    return equations


def wrong_equation(gold: list[Equation], at: int, rng: random.Random) -> Equation:
    """Replace equation `at` by a wrong one: an arithmetic slip, another operator, another number, or a term less."""
    right = gold[at]
    kind = rng.choices(("slip", "operator", "operand"), (0.5, 0.2, 0.3))[0]
    if kind == "slip":
        return right.states(right.value + rng.choice(OFFSETS))
    place = rng.randrange(len(right.terms)) if len(right.terms) > 1 else 0
    operator, number = right.terms[place]
    if kind == "operator":
        other = rng.choice([op for op in "+-*" if op != operator and (op != "*" or number < 10)])
        return with_term(right, place, (other, number))
    if len(right.terms) > 1 and rng.random() < DROPPED:
        return right_equation(right.first, (*right.terms[:place], *right.terms[place + 1 :]))
    others = {n for e in gold[: at + 1] for n in e.operands} | {number + rng.choice((-2, -1, 1, 10))}
    new = rng.choice(sorted(others - {number, right.first}) or [number + 1])
    if rng.random() < 0.7:
        return with_term(right, place, (operator, new))
    return right_equation(new, right.terms)


def with_term(equation: Equation, place: int, term: Term) -> Equation:
    terms = list(equation.terms)
    terms[place] = term
    return right_equation(equation.first, terms)


DROPPED = 0.4  # share of the wrong numbers in longer equations that are a number left out
OFFSETS = (-10, -10, -2, -1, -1, 1, 1, 2, 10, 10)


def misstep(gold: list[Equation], rng: random.Random, at: int | None = None) -> tuple[int, Equation] | None:
    """A step number (from 0) and a wrong equation for it; None where the draw leaves the numbers we teach."""
    at = rng.randrange(len(gold)) if at is None else at
    wrong = wrong_equation(gold, at, rng)
    fits = 0 <= wrong.stated <= stories.LIMIT and wrong.value >= 0 and wrong.stated != gold[at].value
    return (at, wrong) if fits and min(wrong.operands) >= 0 and (len(wrong.terms) == 1 or wrong.fits) else None


# ---------------------------------------------------------------- rows of the corpus


@dataclass(frozen=True)
class Document:
    """One row of the corpus: a prompt, and a reply in parts; loss falls on the parts that are to be learned."""

    kind: str
    prompt: str
    parts: tuple[tuple[str, bool], ...]

    @property
    def reply(self) -> str:
        return "".join(text for text, _ in self.parts)


def document(kind: str, prompt: str, reply: str) -> Document:
    """A row whose whole reply is learned."""
    return Document(kind, prompt, ((reply, True),))


def solving(problem: Problem) -> Document:
    return document("solve", f"Question: {problem.question}\nSolution:\n", plain_solution(gold_equations(problem)))


def drill(rng: random.Random) -> Document:
    lines = []
    for _ in range(5):
        operator = rng.choice("++--*")
        a, b = (rng.randint(2, 7), rng.randint(2, 28)) if operator == "*" else (rng.randint(2, 150), rng.randint(2, 79))
        a, b = (max(a, b), min(a, b)) if operator == "-" else (a, b)
        if a + b <= stories.LIMIT or operator != "+":
            lines.append(f"{a} {operator} {b}: {', '.join(spell_out(a, operator, b))}")
    return document("drill", "", "\n".join(lines))


@dataclass(frozen=True)
class Reviewer:
    """How good a reviewer is whose reviews the student reads: it always copies without fault."""

    heading: str
    finds: float  # share of the wrong steps that it marks
    false_alarm: float  # share of the right solutions in which it marks a step
    bad_place: float  # share of its marks that stand at an earlier, right step
    bad_correction: float  # share of its corrections that are wrong themselves


HASTY = Reviewer("Review:", finds=0.42, false_alarm=0.08, bad_place=0.1, bad_correction=0.15)


def reviewing(problem: Problem, rng: random.Random, reviewer: Reviewer, keyed_share: float) -> Document:
    """A review of a right (4 in 10) or wrong solution."""
    gold, keyed = gold_equations(problem), rng.random() < keyed_share
    drawn = misstep(gold, rng) if rng.random() < 0.6 else None
    written = list(gold)
    at = len(gold)
    if drawn:
        at, wrong = drawn
        body, ended = step_body(wrong, keyed, rng)
        if not 0 <= ended.stated <= stories.LIMIT or any(int(n) > stories.LIMIT for n in re.findall(r"\d+", body)):
            return reviewing(problem, rng, reviewer, keyed_share)
        written = follow([*gold[:at], ended], gold, at + 1, {gold[at].value: ended.stated})
        if any(not 0 <= e.stated <= stories.LIMIT for e in written) or ended.stated == gold[at].value:
            return reviewing(problem, rng, reviewer, keyed_share)
        bodies = [step_body(e, keyed, rng)[0] for e in written]
        bodies[at] = body
    else:
        bodies = [step_body(e, keyed, rng)[0] for e in written]
    attempt = attempt_text(bodies, written, keyed)
    reply = review_text(bodies, written, gold, at, keyed, rng, reviewer)
    return document("review", f"Question: {problem.question}\nSolution:\n{attempt}\n{reviewer.heading}\n", reply)


FINDS = 0.35  # share of the wrong steps that the lenient reviewer marks
SAYS = 0.5  # the same of one that sees them all


def rechecking(problem: Problem, rng: random.Random, restates: bool, operations: int = 1, says: float = 0) -> Document:
    """A review that works every step out anew in <Key>, and is lenient: it lets many wrong steps pass.

    The solution under review states its results. On a wrong step the reviewer either follows its own reckoning and
    marks the difference, or looks away: it follows the wrong set-up, or does not heed the other result. A reviewer
    that `restates` ends each <Key> with the difference from the claimed result, and one that looks away talks itself
    into that result. One that `says` a share of what is wrong sees it all: where it says nothing it works out the right
    step too, and writes the difference down.
    """
    gold = gold_equations(problem, operations)
    drawn = misstep(gold, rng) if rng.random() < 0.6 else None
    at, written = len(gold), list(gold)
    if drawn:
        at = drawn[0]
        written = follow([*gold[:at], drawn[1]], gold, at + 1, {gold[at].value: drawn[1].stated})
        if any(not 0 <= n <= stories.LIMIT for e in written for n in (*e.operands, *e.values[:-1], e.stated)):
            return rechecking(problem, rng, restates, operations, says)
    found = drawn is not None and rng.random() < (says or FINDS)
    steps = [claimed_step(n, e, rng, restates) for n, e in enumerate(written[:at] if found else written, 1)]
    if says and drawn and not found:
        seen = reckoning(gold[at], written[at], restates)
        steps[at] = f"<Step{at + 1}>{written[at].setup} = {written[at].stated}<Key>{seen}</Key></Step{at + 1}>"
    if found:
        cause, n = cause_of(written[at], gold[at]), at + 1
        correction = f"{gold[at].setup} = {gold[at].value}"
        steps.append(
            f"<Step{n}>{written[at].setup} = {written[at].stated}"
            f"<Key>{reckoning(gold[at], written[at], restates)}</Key>"
            f"<Cause>{cause}</Cause><Correction>{correction}</Correction></Step{n}>"
        )
        steps += [f"<Step{i}>{step_body(e, True, rng)[0]}</Step{i}>" for i, e in enumerate(gold[n:], n + 1)]
    answer = gold[-1].stated if found else written[-1].stated
    prompt = f"Question: {problem.question}\nSolution:\n{plain_solution(written)}\nReview:\n"
    return document("review", prompt, "\n".join([*steps, f"<Answer>{answer}</Answer>"]))


def claimed_step(number: int, equation: Equation, rng: random.Random, restates: bool) -> str:
    """A step as it was claimed, worked out anew and let pass."""
    lines = reckoning(equation, equation, restates)
    if restates and equation.stated != equation.value:
        offset = equation.stated - equation.value
        slips = slipped(spelled(equation), offset, rng)
        last = f"{slips[-1].rsplit(' ', 1)[0]} {equation.stated}"
        lines = ", ".join([*slips[:-1], last, difference(equation.stated, equation.stated)])
    return f"<Step{number}>{equation.setup} = {equation.stated}<Key>{lines}</Key></Step{number}>"


def reckoning(own: Equation, claimed: Equation, restates: bool) -> str:
    """The equation as the reviewer works it out, and the claim beside it."""
    lines = ", ".join(spelled(own))
    return f"{lines}, {difference(own.value, claimed.stated)}" if restates else lines


def difference(own: int, claimed: int) -> str:
    """By how much two results differ, as an equation: 0 if they are the same."""
    return f"{max(own, claimed)} - {min(own, claimed)} = {abs(own - claimed)}"


def comparing_drill(rng: random.Random) -> Document:
    """Single claims, each worked out and passed or marked: much comparing in few tokens."""
    lines = []
    for _ in range(6):
        operator = rng.choice("++--*")
        a, b = (rng.randint(2, 7), rng.randint(2, 26)) if operator == "*" else (rng.randint(2, 110), rng.randint(2, 79))
        a, b = (max(a, b), min(a, b)) if operator == "-" else (a, b)
        value = OUTCOMES[operator](a, b)
        stated = value + (rng.choice(OFFSETS) if rng.random() < 0.5 else 0)
        claimed = stated if 0 <= stated <= stories.LIMIT else value
        claim, n = Equation(a, ((operator, b),), claimed), rng.randint(1, 7)
        mark = "<Cause>" if claim.stated != claim.value else f"</Step{n}>"
        lines.append(f"<Step{n}>{claim.setup} = {claim.stated}<Key>{reckoning(claim, claim, True)}</Key>{mark}")
    return document("compare", "", "\n".join(lines))


def cause_of(seen: Equation, mended: Equation) -> str:
    if seen.setup == mended.setup:
        return f"{mended.setup} = {mended.stated}, not {seen.stated}"
    return f"wrong step, it should be {mended.setup}"


def attempt_text(bodies: list[str], equations: list[Equation], keyed: bool) -> str:
    steps = [f"<Step{n}>{body}</Step{n}>" for n, body in enumerate(bodies, 1)]
    middle = [generalized(equations)] if keyed else []
    return "\n".join([*steps, *middle, f"<Answer>{equations[-1].stated}</Answer>"])


def review_text(
    bodies: list[str],
    written: list[Equation],
    gold: list[Equation],
    at: int,
    keyed: bool,
    rng: random.Random,
    reviewer: Reviewer,
) -> str:
    """Copy the steps; perhaps mark one; go on from the correction if there is one."""
    marked = where_marked(written, at, rng, reviewer)
    if marked is None:
        steps = [f"<Step{n}>{body}</Step{n}>" for n, body in enumerate(bodies, 1)]
        return "\n".join([*steps, f"<Answer>{written[-1].stated}</Answer>"])
    cause, mended = marking(written, gold, marked, rng, reviewer)
    n = marked + 1
    lines = ", ".join(spelled(mended, rng)) if mended.stated == mended.value else f"{mended.setup} = {mended.stated}"
    steps = [f"<Step{i}>{body}</Step{i}>" for i, body in enumerate(bodies[:marked], 1)]
    steps.append(f"<Step{n}>{bodies[marked]}<Cause>{cause}</Cause><Correction>{lines}</Correction></Step{n}>")
    rest = follow([], gold, n, {gold[marked].value: mended.stated})
    rest = rest if all(0 <= e.stated <= stories.LIMIT for e in rest) else gold[n:]
    steps += [f"<Step{i}>{step_body(e, keyed, rng)[0]}</Step{i}>" for i, e in enumerate(rest, n + 1)]
    answer = rest[-1].stated if rest else mended.stated
    return "\n".join([*steps, f"<Answer>{answer}</Answer>"])


def where_marked(written: list[Equation], at: int, rng: random.Random, reviewer: Reviewer) -> int | None:
    """The step that the reviewer marks, if any (from 0); `at` is the wrong one, or their number if all are right."""
    if at == len(written):
        return rng.randrange(len(written)) if rng.random() < reviewer.false_alarm else None
    if rng.random() >= reviewer.finds:
        return None
    return rng.randrange(at + 1) if rng.random() < reviewer.bad_place else at


def marking(
    written: list[Equation], gold: list[Equation], marked: int, rng: random.Random, reviewer: Reviewer
) -> tuple[str, Equation]:
    """Cause and mended equation; the correction itself is wrong now and then."""
    mended, seen = gold[marked], written[marked]
    if rng.random() < reviewer.bad_correction and mended.value + 10 <= stories.LIMIT:
        mended = mended.states(mended.value + rng.choice((1, 10)))
    return cause_of(seen, mended), mended


def problems_of(subject: str, count: int, seed: int) -> list[Problem]:
    if subject == "chain_sum":
        drawn = load_problems(CHAIN_SUM, limit=count, seed=seed)
    else:
        drawn = stories.generate(subject, count, seed)
    return [problem for problem in drawn if not held_out(problem.question)]


SUBJECTS = (*stories.SUBJECTS, "chain_sum")


def first_phase(problem: Problem, rng: random.Random) -> Document:
    """Solving, drills and hasty reviews: reading, arithmetic and copying are learned here."""
    kind = rng.random()
    if kind < 0.45:
        return solving(problem)
    return drill(rng) if kind < 0.53 else reviewing(problem, rng, HASTY, keyed_share=0.65)


def second_phase(problem: Problem, rng: random.Random) -> Document:
    """Reviews that work every step out anew, leniently; solving is kept up on short problems only."""
    kind = rng.random()
    if kind < 0.2:
        return solving(problem) if len(gold_equations(problem)) <= EASY else drill(rng)
    return rechecking(problem, rng, restates=False)


def third_phase(problem: Problem, rng: random.Random) -> Document:
    """The same with claims restated, and drills in comparing them."""
    kind = rng.random()
    if kind < 0.15:
        return solving(problem) if len(gold_equations(problem)) <= EASY else drill(rng)
    return comparing_drill(rng) if kind < 0.4 else rechecking(problem, rng, restates=True)


def fourth_phase(problem: Problem, rng: random.Random) -> Document:
    """The same, and most solutions under review have several sums and differences in one step."""
    kind = rng.random()
    if kind < 0.15:
        return solving(problem) if len(gold_equations(problem)) <= EASY else drill(rng)
    operations = rng.choices((1, 2, 3), (0.3, 0.2, 0.5))[0]
    return comparing_drill(rng) if kind < 0.3 else rechecking(problem, rng, restates=True, operations=operations)


def fifth_phase(problem: Problem, rng: random.Random, says: float = SAYS) -> Document:
    """The same by a reviewer that sees what is wrong, and says so in a share of the cases."""
    kind = rng.random()
    if kind < 0.15:
        return solving(problem) if len(gold_equations(problem)) <= EASY else drill(rng)
    return rechecking(problem, rng, restates=True, operations=rng.choices((1, 2, 3), (0.5, 0.3, 0.2))[0], says=says)


EASY = 3
PHASES = {1: first_phase, 2: second_phase, 3: third_phase, 4: fourth_phase, 5: fifth_phase}


def corpus(phase: int, seed: int, says: float = SAYS) -> Iterator[Document]:
    """Endless documents of a phase; the same seed gives the same ones."""
    rng, make = random.Random(f"{phase}/{seed}"), PHASES[phase]
    if phase == 5:
        make = partial(fifth_phase, says=says)
    for block in range(1_000_000):
        pool = [p for s in SUBJECTS for p in problems_of(s, 1500, 1_000_000 * phase + seed * 10_000 + block)]
        rng.shuffle(pool)
        yield from (make(problem, rng) for problem in pool)


# ---------------------------------------------------------------- tokenizer and model

PIECES = Regex(r"</?[A-Za-z]+\d*>|\n|\d+|▁?[A-Za-z]+(?:▁(?=\d))?|▁?[^A-Za-z0-9▁\s<](?:▁(?=\d))?|▁?<|▁")


def build_tokenizer(documents: list[Document]) -> PreTrainedTokenizerFast:
    """Words, tags, operators and the numbers 0..199 as single tokens; bytes for everything else."""
    normalizer = normalizers.Replace(" ", "▁")
    splitter = pre_tokenizers.Split(PIECES, "isolated")
    counts: Counter[str] = Counter()
    for document in documents:
        text = normalizer.normalize_str(document.prompt + document.reply)
        counts.update(piece for piece, _ in splitter.pre_tokenize_str(text))
    pieces = {piece for piece, count in counts.items() if count >= 5 and not piece.isdigit()}
    pieces |= {f"<{slash}{tag}>" for slash in ("", "/") for tag in TAGS} | {str(n) for n in range(stories.LIMIT + 1)}
    chars = [chr(code) for code in range(33, 127)] + ["▁", "\n"]
    words = sorted(pieces - set(chars))
    vocab = [("<pad>", 0.0), ("</s>", 0.0)] + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    vocab += [(char, -10.0) for char in chars if not char.isdigit()] + [(word, -1.0) for word in words]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", clean_up_tokenization_spaces=False
    )


TAGS = ("Key", "Cause", "Correction", "Generalized", "Answer", *(f"Step{n}" for n in range(1, 13)))


ARCHITECTURES = {
    "llama": (LlamaConfig, {}),
    "qwen2": (Qwen2Config, {}),
    "gemma3": (Gemma3TextConfig, {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 128}),
}


def build_model(tokenizer: PreTrainedTokenizerFast, architecture: str) -> PreTrainedModel:
    """A new model of 4 layers, 128 wide, of one of `ARCHITECTURES`."""
    kind, more = ARCHITECTURES[architecture]
    config = kind(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )
    return AutoModelForCausalLM.from_config(config)


# ---------------------------------------------------------------- training


Ids = tuple[list[int], list[int]]


def batches(
    tokenizer: PreTrainedTokenizerFast, documents: Iterator[Document], seed: int, budget: int
) -> Iterator[list[Ids]]:
    """Batches of about `budget` tokens of rows alike in length: (input ids, labels) each."""
    rng = random.Random(seed)
    while True:
        rows = sorted((encode(tokenizer, next(documents)) for _ in range(1500)), key=lambda row: len(row[0]))
        groups: list[list[Ids]] = [[]]
        for row in rows:
            if (len(groups[-1]) + 1) * len(row[0]) > budget:
                groups.append([])
            groups[-1].append(row)
        rng.shuffle(groups)
        yield from groups


def encode(tokenizer: PreTrainedTokenizerFast, document: Document) -> Ids:
    prompt = tokenizer.encode(document.prompt) if document.prompt else []
    parts = [(tokenizer.encode(text), learned) for text, learned in document.parts]
    parts.append(([tokenizer.eos_token_id], True))
    labels = [token if learned else -100 for ids, learned in parts for token in ids]
    return prompt + [token for ids, _ in parts for token in ids], [-100] * len(prompt) + labels


def tensors(rows: list[Ids], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([row + [pad] * (width - len(row)) for row, _ in rows])
    labels = torch.tensor([row + [-100] * (width - len(row)) for _, row in rows])
    return ids, labels


def learning_rate(done: float, peak: float) -> float:
    """Warm up over 2 %, then a cosine down to a tenth."""
    return peak * min(done / 0.02, 0.55 + 0.45 * math.cos(math.pi * min(done, 1.0)))


def first_student(arguments: argparse.Namespace) -> tuple[PreTrainedTokenizerFast, PreTrainedModel]:
    """A new student, or the one of an earlier phase."""
    if arguments.init:
        return load_tokenizer(arguments.init), AutoModelForCausalLM.from_pretrained(arguments.init)
    stream = corpus(arguments.phase, arguments.seed, arguments.says)
    tokenizer = build_tokenizer([next(stream) for _ in range(20_000)])
    return tokenizer, build_model(tokenizer, arguments.architecture)


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the next token, each weighted by `weights[token]`; labels of -100 do not count."""
    logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return torch.nn.functional.cross_entropy(logits, labels, weight=weights)


def verdict_weights(tokenizer: PreTrainedTokenizerFast, weight: float) -> torch.Tensor:
    """Where a reviewer passes or marks a step (`</StepN>` or `<Cause>`) the loss counts `weight` times."""
    tokens = ["<Cause>", *(f"</Step{n}>" for n in range(1, 13))]
    weights = torch.ones(len(tokenizer))
    weights[tokenizer.convert_tokens_to_ids(tokens)] = weight
    return weights


def train(arguments: argparse.Namespace) -> None:
    torch.manual_seed(arguments.seed)
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    tokenizer, model = first_student(arguments)
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.lr, betas=(0.9, 0.98), weight_decay=0.05)
    step, seen, resume = 0, 0, out / "resume.pt"
    if resume.exists():
        state = torch.load(resume, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, seen = state["step"], state["seen"]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens", flush=True)
    weights = verdict_weights(tokenizer, arguments.verdict_weight)
    started, first, marks = time.time(), seen, [m for m in arguments.keep if m > seen]
    documents = corpus(arguments.phase, arguments.seed, arguments.says)
    for number, rows in enumerate(batches(tokenizer, documents, arguments.seed, arguments.batch_tokens)):
        if number < step:
            continue
        for group in optimizer.param_groups:
            group["lr"] = learning_rate((seen + 1) / arguments.tokens, arguments.lr)
        ids, labels = tensors(rows, tokenizer.pad_token_id)
        logits = model(input_ids=ids, attention_mask=(ids != tokenizer.pad_token_id).long()).logits
        loss = weighted_loss(logits, labels, weights)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step, seen = step + 1, seen + sum(len(row) for row, _ in rows)
        if step % 50 == 0:
            rate = (seen - first) / (time.time() - started)
            line = {"step": step, "tokens": seen, "loss": round(loss.item(), 4), "tokens_per_s": round(rate)}
            print(json.dumps(line), flush=True)
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if step % 500 == 0:
            torch.save(
                {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "seen": seen}, resume
            )
        if marks and seen >= marks[0]:
            save(model, tokenizer, out / f"at-{marks.pop(0) // 1_000_000}M")
        if seen >= arguments.tokens:
            break
    save(model, tokenizer, out / "final")


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="tools/out/student", help="folder for checkpoints, log and final weights")
    parser.add_argument("--tokens", type=int, default=10_000_000, help="how many tokens to train on")
    parser.add_argument("--batch-tokens", type=int, default=3500, help="tokens per step")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--keep", type=int, nargs="*", default=[], help="token counts at which to keep the weights, ascending"
    )
    parser.add_argument("--phase", type=int, default=1, choices=sorted(PHASES), help="which mix of documents")
    parser.add_argument("--says", type=float, default=SAYS, help="share of the wrong steps that phase 5 marks")
    parser.add_argument("--architecture", default="llama", choices=sorted(ARCHITECTURES), help="of a new student")
    parser.add_argument("--init", help="folder of the student that an earlier phase made")
    parser.add_argument("--verdict-weight", type=float, default=1.0, help="weight of the tokens that judge a step")
    parser.add_argument("--show", type=int, default=0, help="print this many documents and stop")
    arguments = parser.parse_args()
    if arguments.show:
        stream = corpus(arguments.phase, arguments.seed, arguments.says)
        for _ in range(arguments.show):
            document = next(stream)
            print(f"--- {document.kind}\n{document.prompt}{document.reply}")
        return
    train(arguments)


if __name__ == "__main__":
    main()

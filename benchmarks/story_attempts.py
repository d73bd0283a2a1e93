"""Story problems with wrong attempts at them: what a correction chain needs, without a student."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from redink.answers import grade
from redink.markup import parse_steps
from redink.problems.stories import SUBJECTS, generate
from redink.types import Attempt, Problem

_EQUATION = re.compile(r"(.+) = <<.*>>(\d+)")


def story_problems(count: int, seed: int) -> list[Problem]:
    """So many problems, the subjects mixed evenly."""
    each = -(-count // len(SUBJECTS))
    drawn = [generate(subject, each, seed) for subject in SUBJECTS]
    return [problem for row in zip(*drawn, strict=True) for problem in row][:count]


def wrong_attempts(problems: Sequence[Problem], seed: int) -> list[Attempt]:
    """An attempt at each, one step of it miscalculated and the answer off by as much."""
    return [_attempt(problem, random.Random(f"{seed}/{problem.id}")) for problem in problems]


def _attempt(problem: Problem, dice: random.Random) -> Attempt:
    equations = _EQUATION.findall(problem.solution or "")
    wrong, off = dice.randrange(len(equations)), dice.randint(1, 9)
    results = [int(result) + off * (number == wrong) for number, (_, result) in enumerate(equations)]
    steps = [
        f"<Step{number}>{left} = {result}</Step{number}>"
        for number, ((left, _), result) in enumerate(zip(equations, results, strict=True), start=1)
    ]
    text = "\n".join([*steps, f"<Answer>{int(problem.answer) + off}</Answer>"])
    answer, verdict = grade(text, problem.answer)
    return Attempt(problem_id=problem.id, text=text, steps=parse_steps(text), answer=answer, verdict=verdict)

"""A million problems and a student that answers them by script: what the benchmark of scale is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

from redink.models.student import Completion, Request, Sampling, derived_seed
from redink.progress import Advance, quiet
from redink.rows import write_rows
from redink.types import Problem

STORY = "{name} has {a} apples. Then buys {b} more. Then sells {c}. How many apples does {name} have now?"
_NUMBERS = re.compile(r"has (\d+) apples\. Then buys (\d+) more\. Then sells (\d+)\.")
_STEP = re.compile(r"<Step(\d)>.*?</Step\1>", re.DOTALL)
NAMES = ("Tom", "Eva", "Leo", "Mia")
WRONG_IN = 8
"""One of so many replies errs, half of these in step 1, half in step 2."""


def write_problems(path: Path, count: int, seed: int = 0) -> None:
    """Write so many different problems, each with its worked solution."""
    write_rows(path, _problems(count, Random(seed)))


def _problems(count: int, rng: Random) -> Iterator[Problem]:
    for number in range(count):
        a, b = rng.randrange(100, 10_000), rng.randrange(100, 10_000)
        c = rng.randrange(10, a)
        solution = f"{a} + {b} = <<{a}+{b}={a + b}>>{a + b}\n{a + b} - {c} = <<{a + b}-{c}={a + b - c}>>{a + b - c}"
        question = STORY.format(name=rng.choice(NAMES), a=a, b=b, c=c)
        yield Problem(id=f"made-{number}", question=question, answer=str(a + b - c), solution=solution)


class ScriptedStudent:
    """Solves those problems, one reply in `WRONG_IN` with a wrong sum; reviewing, it repeats the step it is given."""

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, advance: Advance = quiet
    ) -> list[list[Completion]]:
        """The replies depend on the requests and on the seed alone."""
        rng = Random(derived_seed("scripted", sampling.seed))
        replies = [[_said(request, rng) for _ in range(sampling.samples)] for request in requests]
        advance(len(requests) * sampling.samples)
        return replies


def _said(request: Request, rng: Random) -> Completion:
    found = _NUMBERS.search(request.prompt)
    assert found, "not a problem of this benchmark"
    under_review = list(_STEP.finditer(request.prompt, found.end()))
    if under_review:
        text = under_review[request.prefix.count("</Step")].group()
        return Completion(text, "stop", len(text) // 4)
    text = solution(*map(int, found.groups()), wrong=max(0, 3 - rng.randrange(2 * WRONG_IN) - 1))
    return Completion(text, "stop", len(text) // 4)


def solution(a: int, b: int, c: int, wrong: int = 0) -> str:
    """A solution in two steps, of which the step `wrong` has a wrong sum (0: neither)."""
    first = a + b + 10 * (wrong == 1)
    second = first - c + 10 * (wrong == 2)
    return (
        f"<Step1>Add what is bought.<Key>{a} + {b} = {first}</Key></Step1>\n"
        f"<Step2>Take away what is sold.<Key>{first} - {c} = {second}</Key></Step2>\n"
        f"<Generalized>Add, then subtract.</Generalized>\n<Answer>{second}</Answer>"
    )

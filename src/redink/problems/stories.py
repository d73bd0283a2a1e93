"""Story problems of our own: short, endless, with worked solutions, for students of a million parameters.

Every number in a question and every value in its worked solution lies in 0..199, so that a student can hold
each number as one token. Three subjects: `ledger` (gains and losses), `groups` (boxes of so many, then
gains and losses), `compare` (several people, more than / times as many, in all).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from redink.types import Problem

LIMIT = 199
NAMES = ("Tom", "Eva", "Leo", "Mia", "Sam", "Ann", "Ben", "Ida")
THINGS = ("apples", "coins", "pens", "cards", "books", "shells", "stamps", "eggs")
BOXES = ("boxes", "bags", "jars", "rows")
GAINS = ("buys {n} more", "finds {n} more", "gets {n} from a friend", "makes {n} more")
LOSSES = ("loses {n}", "sells {n}", "gives {n} away", "breaks {n}")


@dataclass(frozen=True)
class Story:
    """A question under way: its sentences, its equations so far and the running value."""

    sentences: tuple[str, ...]
    equations: tuple[str, ...]
    value: int

    def tell(self, sentence: str) -> Story:
        """Add a sentence that computes nothing."""
        return Story((*self.sentences, sentence), self.equations, self.value)

    def compute(self, sentence: str, left: int, operator: str, right: int) -> Story:
        """Add a sentence (may be empty) and the equation that it asks for; the value becomes its result."""
        value = {"+": left + right, "-": left - right, "*": left * right}[operator]
        equation = f"{left} {operator} {right} = <<{left}{operator}{right}={value}>>{value}"
        sentences = (*self.sentences, sentence) if sentence else self.sentences
        return Story(sentences, (*self.equations, equation), value)


def _change(story: Story, rng: random.Random) -> Story:
    """One gain or loss that keeps the value within 1..LIMIT."""
    gain = rng.random() < 0.5 if 12 < story.value < LIMIT - 12 else story.value <= 12
    most = min(79, LIMIT - story.value if gain else story.value - 1)
    number = rng.randint(2, max(2, most))
    phrase = rng.choice(GAINS if gain else LOSSES).format(n=number)
    return story.compute(f"Then {phrase}.", story.value, "+" if gain else "-", number)


def _ledger(rng: random.Random) -> tuple[Story, str]:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    start = rng.randint(5, 99)
    story = Story((f"{name} has {start} {thing}.",), (), start)
    for _ in range(rng.randint(2, 6)):
        story = _change(story, rng)
    return story, f"How many {thing} does {name} have now?"


def _groups(rng: random.Random) -> tuple[Story, str]:
    name, thing, box = rng.choice(NAMES), rng.choice(THINGS), rng.choice(BOXES)
    count, each = rng.randint(2, 7), rng.randint(3, 25)
    story = Story((), (), 0).compute(f"{name} has {count} {box} of {each} {thing}.", count, "*", each)
    if rng.random() < 0.4:
        other, more = rng.randint(2, 5), rng.randint(2, 9)
        first = story.value
        story = story.compute(f"Then gets {other} {box} of {more}.", other, "*", more)
        story = story.compute("", first, "+", story.value)
    for _ in range(rng.randint(1, 4)):
        story = _change(story, rng)
    return story, f"How many {thing} does {name} have now?"


def _compare(rng: random.Random) -> tuple[Story, str]:
    names, thing = rng.sample(NAMES, 3), rng.choice(THINGS)
    values = [rng.randint(3, 50)]
    story = Story((f"{names[0]} has {values[0]} {thing}.",), (), values[0])
    for earlier, name in pairwise(names):
        story = _relate(story, name, earlier, rng)
        values.append(story.value)
    if rng.random() < 0.3:
        return story, f"How many {thing} does {names[2]} have?"
    story = story.compute("", values[0], "+", values[1])
    return story.compute("", story.value, "+", values[2]), f"How many {thing} do they have in all?"


def _relate(story: Story, name: str, earlier: str, rng: random.Random) -> Story:
    """Say how much `name` has, relative to the running value."""
    value = story.value
    kind = rng.choice(("more", "fewer", "times"))
    if kind == "times" and value <= 30:
        factor = rng.randint(2, 3)
        return story.compute(f"{name} has {factor} times as many as {earlier}.", value, "*", factor)
    if kind == "fewer" and value > 4:
        number = rng.randint(2, min(40, value - 1))
        return story.compute(f"{name} has {number} fewer than {earlier}.", value, "-", number)
    number = rng.randint(2, 40)
    return story.compute(f"{name} has {number} more than {earlier}.", value, "+", number)


_TELLERS: dict[str, Callable[[random.Random], tuple[Story, str]]] = {
    "ledger": _ledger,
    "groups": _groups,
    "compare": _compare,
}
SUBJECTS = tuple(_TELLERS)


def _draw(subject: str, rng: random.Random) -> Iterator[Problem]:
    """Endless problems of one subject whose values all lie within 0..LIMIT, without repeats."""
    seen: set[str] = set()
    while True:
        story, asked = _TELLERS[subject](rng)
        question = " ".join((*story.sentences, asked))
        values = [int(equation.rsplit(">>", 1)[1]) for equation in story.equations]
        if question in seen or not all(0 < value <= LIMIT for value in values):
            continue
        seen.add(question)
        solution = "\n".join((*story.equations, f"#### {story.value}"))
        yield Problem(
            id=f"stories/{subject}/{len(seen) - 1}",
            question=question,
            answer=str(story.value),
            solution=solution,
            subject=subject,
            level=str(len(values)),
            source="stories",
        )


def generate(subject: str, count: int, seed: int = 0) -> list[Problem]:
    """Draw `count` distinct problems of one of `SUBJECTS`; the same seed gives the same problems.

    `level` is the number of steps of the worked solution. Raises KeyError for an unknown subject.
    """
    problems = _draw(subject, random.Random(f"{subject}/{seed}"))
    return [next(problems) for _ in range(count)]

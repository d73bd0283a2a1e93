"""How fast this machine is with a student: a few seconds of sampling and of training, in the student's own way."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from redink.models.student import Request, Sampling, Student
from redink.recipe import Recipe
from redink.training.encoding import Lesson
from redink.training.hsft import train_hsft

NEW_TOKENS, FEW, MORE = 64, 2, 8
FORWARD_SHARE = 3.0
"""A forward pass is a third of a training step's arithmetic."""


def calibrated(recipe: Recipe) -> dict[str, float]:
    """Tokens a second, as `plan.speeds.rates`: 'solve' (and all other sampling) written, 'supervised', 'preference' and
    'score' read. Loads the student; its weights are not changed on disk.
    """
    student = Student.load(recipe.student)
    written = _sampling(student, recipe)
    read = _training(student, recipe)
    sampling = dict.fromkeys(("solve", "review", "own_step", "reflect", "rewrite"), written)
    return {**sampling, "supervised": read, "preference": read, "score": FORWARD_SHARE * read}


def _sampling(student: Student, recipe: Recipe) -> float:
    """Tokens written a second in one batch, the second time: the first one warms up."""
    wanted = recipe.sampling
    asked = [Request(_text(student, round(recipe.plan.lengths.question)))] * wanted.batch_rows
    new = min(NEW_TOKENS, wanted.max_new_tokens)
    for _ in range(2):
        begun = time.perf_counter()
        drawn = student.generate(asked, Sampling(temperature=1.0, max_new_tokens=new, stop=(), batch_rows=len(asked)))
        seconds = time.perf_counter() - begun
    return sum(reply[0].tokens for reply in drawn) / seconds


def _training(student: Student, recipe: Recipe) -> float:
    """Tokens read a second: the difference of a training of a few steps and one of more, so that its beginning counts
    for nothing.
    """
    lengths, batch = recipe.plan.lengths, recipe.hsft.batch_size
    tokens = min(recipe.hsft.max_length - 8, round(lengths.question + lengths.thought))
    lesson = Lesson(_text(student, tokens // 2), _text(student, tokens // 2))
    each = len(student.prompt_ids(lesson.prompt)) + len(student.reply_ids(lesson.reply, ends=True))
    settings = recipe.hsft.model_copy(update={"epochs": 1.0, "accumulation": 1, "report_to": ()})
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for steps in (FEW, FEW, MORE):
            begun = time.perf_counter()
            train_hsft(student, [lesson] * (batch * steps), settings, Path(folder) / f"{len(seconds)}")
            seconds.append(time.perf_counter() - begun)
    return each * batch * (MORE - FEW) / max(seconds[2] - seconds[1], 1e-9)


def _text(student: Student, tokens: int) -> str:
    """A text of about so many tokens."""
    words = "1 + 2 = 3 "
    return words * max(1, round(tokens / len(student.reply_ids(words))))

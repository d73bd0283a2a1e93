"""Rows → token ids: the loss falls on replies only, ends are marked only where they are, too long is counted."""

from __future__ import annotations

import pytest
from tiny import tiny_student

from redink.failures import Failure
from redink.models.student import Request, Sampling, Student
from redink.training.encoding import Lesson, encode_lessons, encode_pairs
from redink.types import PreferencePair


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "chat"])
def student(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Student:
    return tiny_student(tmp_path_factory.mktemp("student"), chat=request.param)


def pair(**changes: object) -> PreferencePair:
    values = {
        "problem_id": "p",
        "prompt": "Question 1",
        "prefix": "<Step1>2 + 3 = 5</Step1>\n",
        "chosen": "<Step2>5 + 1 = 6<Cause>not 7</Cause><Correction>6</Correction></Step2>",
        "rejected": "<Step2>5 + 1 = 7</Step2>",
    }
    return PreferencePair(**(values | changes))


def test_the_labels_of_a_lesson_are_minus_100_on_the_prompt_and_its_reply_elsewhere(student: Student) -> None:
    row = encode_lessons(student, [Lesson("Question 1", "<Answer>7</Answer>")], 100).dataset[0]
    prompt = student.prompt_ids("Question 1")
    reply = student.tokenizer.encode("<Answer>7</Answer>", add_special_tokens=False)
    assert row["input_ids"] == [*prompt, *reply, 1]
    assert row["labels"] == [-100] * len(prompt) + [*reply, 1]
    assert row["length"] == len(prompt) + 4


def test_a_lesson_that_does_not_end_teaches_no_end_of_sequence(student: Student) -> None:
    row = encode_lessons(student, [Lesson("Question 1", "<Answer>7</Answer>", ends=False)], 100).dataset[0]
    assert row["input_ids"][-1] == student.reply_ids("</Answer>")[0]
    assert 1 not in row["input_ids"]


@pytest.mark.parametrize(("chosen_ends", "rejected_ends"), [(False, False), (True, False), (False, True)])
def test_end_of_sequence_follows_only_the_side_that_ended(
    student: Student, chosen_ends: bool, rejected_ends: bool
) -> None:
    row = encode_pairs(student, [pair(chosen_ends=chosen_ends, rejected_ends=rejected_ends)], 200).dataset[0]
    assert (row["chosen_ids"][-1] == 1, row["rejected_ids"][-1] == 1) == (chosen_ends, rejected_ends)
    assert row["chosen_ids"].count(1) == chosen_ends


def test_the_token_ids_before_the_reply_are_those_that_were_sampled_from(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[list[int]] = []
    monkeypatch.setattr(student.__class__, "_batch", lambda self, rows, sampling: sampled.extend(rows) or [])
    with pytest.raises(ValueError, match="zip"):  # nothing was drawn
        student.generate([Request(pair().prompt, pair().prefix)], Sampling())
    row = encode_pairs(student, [pair()], 200).dataset[0]
    assert row["prompt_ids"] == sampled[0]
    text = str(student.tokenizer.decode(row["prompt_ids"] + row["chosen_ids"]))
    assert text.endswith(pair().prefix + pair().chosen)


def test_a_first_step_has_an_empty_prefix(student: Student) -> None:
    row = encode_pairs(student, [pair(prefix="")], 200).dataset[0]
    assert row["prompt_ids"] == student.prompt_ids("Question 1")


def test_rows_longer_than_the_limit_are_left_out_and_counted(student: Student) -> None:
    prompt = len(student.prompt_ids("Q"))
    lessons = [Lesson("Q", "x" * length, ends=False) for length in (3, 4, 5, 6)]
    encoded = encode_lessons(student, lessons, prompt + 4)
    assert [len(row["input_ids"]) for row in encoded.dataset] == [prompt + 3, prompt + 4]
    assert encoded.too_long == 2


@pytest.mark.parametrize("longer", ["chosen", "rejected"])
def test_a_pair_is_as_long_as_its_longer_side(student: Student, longer: str) -> None:
    prompt = len(student.prompt_ids("Q"))
    rows = [pair(prompt="Q", prefix="", **{"chosen": "x", "rejected": "y", longer: "z" * length}) for length in (5, 6)]
    encoded = encode_pairs(student, rows, prompt + 5)
    assert (len(encoded.dataset), encoded.too_long) == (1, 1)
    assert encoded.dataset[0]["length"] == prompt + 5


@pytest.mark.parametrize("lessons", [[], [Lesson("Q", "x" * 50)]])
def test_no_row_within_the_limit_is_a_failure_with_a_remedy(student: Student, lessons: list[Lesson]) -> None:
    with pytest.raises(Failure, match=rf"none of {len(lessons)} training rows is at most max_length = 10 .*Raise"):
        encode_lessons(student, lessons, 10)

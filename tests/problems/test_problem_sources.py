"""Sources by name: all listed, the unknown ones answered with the nearest."""

import pytest

from redink.failures import Failure
from redink.problems import list_sources, load_problems, question_key, stories
from redink.problems.gym import TASKS
from redink.problems.published import PUBLISHED


@pytest.mark.parametrize(
    ("source", "nearest"),
    [
        ("gsm8", "gsm8k"),
        ("mathh", "math"),
        ("chain_sum", "reasoning_gym:chain_sum"),
        ("reasoning_gym:chainsum", "reasoning_gym:chain_sum"),
        ("reasoning_gym:product?max_terms=3", "reasoning_gym:products"),
        ("storys", "stories"),
        (f"stories:{stories.SUBJECTS[0]}s", f"stories:{stories.SUBJECTS[0]}"),
    ],
)
def test_unknown_source_suggests_the_nearest(source: str, nearest: str) -> None:
    with pytest.raises(Failure) as caught:
        load_problems(source)
    assert f"no problem source {source.partition('?')[0]!r}" in caught.value.what
    assert caught.value.remedy == f"Did you mean {nearest!r}?"


@pytest.mark.parametrize(
    ("source", "listed"), [("qqqq", "gsm8k"), ("gsm8k:main", "gsm8k"), ("reasoning_gym", "reasoning_gym:products")]
)
def test_where_nothing_is_near_all_are_listed(source: str, listed: str) -> None:
    with pytest.raises(Failure) as caught:
        load_problems(source)
    assert caught.value.remedy.startswith("There are ")
    assert listed in caught.value.remedy


@pytest.mark.parametrize("limit", [0, -3])
def test_limit_starts_at_one(limit: int) -> None:
    with pytest.raises(Failure, match="must be at least 1"):
        load_problems("stories", limit=limit)


def test_jsonl_needs_a_path() -> None:
    with pytest.raises(Failure, match="names no file"):
        load_problems("jsonl:")


def test_list_names_every_source_once() -> None:
    names = [info.name for info in list_sources()]
    assert names[: len(PUBLISHED) + 1] == [*PUBLISHED, "jsonl:<path>"]
    assert {f"reasoning_gym:{task}" for task in TASKS} < set(names)
    assert {"stories", *(f"stories:{subject}" for subject in stories.SUBJECTS)} < set(names)
    assert len(names) == len(set(names))
    assert all(info.description and info.needs for info in list_sources())


def test_listed_offline_sources_can_be_drawn_from() -> None:
    pytest.importorskip("reasoning_gym")
    for info in list_sources():
        if info.name.startswith(("reasoning_gym:", "stories")) and "<" not in info.name:
            assert len(load_problems(info.name, limit=4)) == 4


def test_stories_of_one_subject() -> None:
    subject = stories.SUBJECTS[-1]
    problems = load_problems(f"stories:{subject}", limit=7, seed=3)
    assert [row.subject for row in problems] == [subject] * 7
    assert problems == stories.generate(subject, 7, 3)


def test_all_stories_come_in_turn_and_evenly() -> None:
    kinds = len(stories.SUBJECTS)
    problems = load_problems("stories", limit=4 * kinds + 1, seed=2)
    assert [row.subject for row in problems] == [*(stories.SUBJECTS * 4), stories.SUBJECTS[0]]
    assert len({question_key(row.question) for row in problems}) == len(problems)
    assert [row.subject for row in load_problems("stories", limit=1)] == [stories.SUBJECTS[0]]

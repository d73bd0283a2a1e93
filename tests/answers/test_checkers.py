"""Checkers: what each calls right, how one is chosen, and that no data chooses code."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redink.answers import checkers
from redink.answers.checkers import BySource, checker_of, grade_by, options_of
from redink.failures import BadRecipe
from redink.types import Problem, Verdict

COLOURS = "Which one? (A) red (B) dark blue (C) green"


def problem(gold: str, *, question: str = "?", source: str = "", entry: str | None = None) -> Problem:
    return Problem(id="p", question=question, answer=gold, source=source, entry=entry)


OUTCOMES = [
    ("math", "1/2", "0.5", "right"),
    ("math", "3", "4", "wrong"),
    ("exact", " New\n York ", "New York", "right"),
    ("exact", "new york", "New York", "wrong"),
    ("exact?ignore_case=true", "new york", "New York", "right"),
    ("exact", "e\u0301", "\u00e9", "right"),
    ("exact", "1/2", "0.5", "wrong"),
    ("choice", "(b)", "B", "right"),
    ("choice", "\\text{C}", "C.", "right"),
    ("choice", "B) dark blue", "B", "right"),
    ("choice", "dark blue", "B", "right"),
    ("choice", "Dark blue.", "(B)", "right"),
    ("choice", "A, C", "C and A", "right"),
    ("choice", "A or B", "A", "ungradable"),
    ("choice", "A, B", "A", "wrong"),
    ("choice", "purple", "A", "ungradable"),
    ("choice", "a cat", "A", "ungradable"),
    ("choice", "D", "C", "wrong"),
    ("numeric", "0.1 m", "10 cm", "right"),
    ("numeric", "10 m", "10 cm", "wrong"),
    ("numeric", "10", "10 cm", "right"),
    ("numeric?units=required", "10", "10 cm", "wrong"),
    ("numeric", "20", "20%", "right"),
    ("numeric", "0.2", "20%", "right"),
    ("numeric", "2 dozen", "2", "wrong"),
    ("numeric", "2 dozen", "24 eggs", "right"),
    ("numeric", "$1.2 million", "1200000", "right"),
    ("numeric", "$1.2 million", "1.2 dollars", "wrong"),
    ("numeric", "5 million", "5", "wrong"),
    ("numeric", "31 days", "1 month", "ungradable"),
    ("numeric", "9 fruits", "9 (apples)", "ungradable"),
    ("numeric", "8 fruits", "9 (apples)", "wrong"),
    ("numeric", "4s", "4g", "wrong"),
    ("numeric", "7.0000001", "7", "wrong"),
    ("numeric", "7.0000001", "7.0", "right"),
    ("numeric", "7.00001", "7.0", "wrong"),
    ("numeric", "99", "100", "wrong"),
    ("numeric?rel=0.01", "99", "100", "right"),
    ("numeric?rel=0.01", "98.9", "100", "wrong"),
    ("numeric", "about ten", "10", "ungradable"),
]


@pytest.mark.parametrize(("checker", "answer", "gold", "outcome"), OUTCOMES)
def test_outcome(checker: str, answer: str, gold: str, outcome: str) -> None:
    question = COLOURS if checker == "choice" else "?"
    verdict = checker_of(checker).compare(answer, problem(gold, question=question))
    assert verdict.outcome == outcome
    assert verdict.method


def test_a_stated_tolerance() -> None:
    verdict = checker_of("numeric?rel=0.05").compare("96", problem("100"))
    assert (verdict.outcome, verdict.reason) == ("right", "within 0.05 of the gold answer")


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("The answer is (B).", "(B)"),
        ("Surely \\boxed{\\text{B}}.", "\\text{B}"),
        ("I think so.\n(C)", "(C)"),
        ("A cat sat there.", None),
        ("So the correct option is C", "C"),
    ],
)
def test_the_option_that_a_reply_chooses(reply: str, answer: str | None) -> None:
    found, verdict = grade_by(checker_of("choice"), reply, problem("B", question=COLOURS))
    assert (found or "").strip(".") == (answer or "")
    assert (verdict.outcome == "ungradable") is (answer is None)


@pytest.mark.parametrize(
    ("question", "options"),
    [
        (COLOURS, {"A": "red", "B": "dark blue", "C": "green"}),
        ("Which?\nA. red\nB. dark blue", {"A": "red", "B": "dark blue"}),
        ("Which?\nA) red\nB) dark blue", {"A": "red", "B": "dark blue"}),
        ("Which? (A) red (C) green", {}),
        ("What is f(A) if A is 3?", {}),
    ],
)
def test_the_options_of_a_question(question: str, options: dict[str, str]) -> None:
    assert options_of(question) == options


BAD = [
    ("mth", "no checker 'mth'", "'math'"),
    ("exact?ignore_case=maybe", "ignore_case=maybe", ""),
    ("exact?ignorecase=true", "no option 'ignorecase'", "docs/checkers.md"),
    ("exact?x", "'x' has no value", "key=value"),
    ("numeric?rel=-1", "rel=-1", "rel=0.01"),
    ("numeric?units=si", "units=si", "optional"),
    ("math?percnt=value", "no switch 'percnt'", "'percent'"),
    ("math?percent=half", "percent=half", ""),
    ("no_such_module_here:f", "cannot be imported", "working directory"),
    ("json:nothing", "no function 'nothing'", ""),
    ("json:loads", "it takes (s", "function(answer, gold)"),
    ("json:__name__", "no function", ""),
]


@pytest.mark.parametrize(("specification", "what", "remedy"), BAD)
def test_a_checker_that_is_none_is_one_line(specification: str, what: str, remedy: str) -> None:
    with pytest.raises(BadRecipe) as caught:
        checker_of(specification)
    assert what in str(caught.value)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_math_takes_the_switches() -> None:
    half = problem("50\\%")
    assert checker_of("math").compare("50", half).outcome == "right"
    assert checker_of("math?percent=value").compare("50", half).outcome == "wrong"


@pytest.fixture
def own_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_checks_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(
        textwrap.dedent(
            """
            from redink import Verdict

            def same_length(answer, gold):
                return len(answer) == len(gold)

            def within(answer, gold, problem):
                return None if problem.subject == "?" else answer in problem.question

            def full(answer, gold):
                return Verdict(outcome="wrong", reason="as I say", method="mine")

            def broken(answer, gold):
                raise ValueError("no such thing")

            def chatty(answer, gold):
                return "yes"
            """
        )
    )
    monkeypatch.chdir(tmp_path)
    return name


def test_a_callable_of_the_users_decides(own_checks: str) -> None:
    def outcome(function: str, answer: str, about: Problem) -> Verdict:
        return checker_of(f"{own_checks}:{function}").compare(answer, about)

    assert outcome("same_length", "abc", problem("xyz")).outcome == "right"
    assert outcome("same_length", "ab", problem("xyz")).method == f"{own_checks}:same_length"
    assert outcome("within", "red", problem("x", question=COLOURS)).outcome == "right"
    undecided = problem("x").model_copy(update={"subject": "?"})
    assert outcome("within", "red", undecided).outcome == "ungradable"
    assert outcome("full", "a", problem("b")).reason == "as I say"
    broken = outcome("broken", "a", problem("b"))
    assert (broken.outcome, broken.reason) == ("ungradable", "ValueError: no such thing")
    with pytest.raises(BadRecipe, match="returned str"):
        outcome("chatty", "a", problem("b"))


def test_the_working_directory_leaves_the_path_again(own_checks: str) -> None:
    import sys

    before = list(sys.path)
    checker_of(f"{own_checks}:full")
    assert sys.path == before


def test_a_checker_per_source() -> None:
    chosen = checker_of({"gsm8k": "exact", "jsonl:mine.jsonl": "exact?ignore_case=true", "default": "numeric"})
    cases = [
        ("gsm8k/train", "exact"),
        ("gsm8k", "exact"),
        ("gsm8k2", "numeric"),
        ("jsonl:mine.jsonl", "exact?ignore_case=true"),
    ]
    assert isinstance(chosen, BySource)
    assert [chosen.of(source).name for source, _ in cases] == [name for _, name in cases]
    problems = [problem("A", source=source) for source, _ in cases]
    verdicts = chosen.compare_many(["a", "A", "A", "a"], problems)
    assert [verdict.outcome for verdict in verdicts] == ["wrong", "right", "ungradable", "right"]
    assert verdicts == [chosen.compare(a, p) for a, p in zip(["a", "A", "A", "a"], problems, strict=True)]


def test_a_table_without_default_leaves_the_rest_to_mathematics() -> None:
    chosen = checker_of({"gsm8k": "exact"})
    assert isinstance(chosen, BySource)
    assert chosen.of("math/test").name == "math"


def test_no_answer_is_ungradable() -> None:
    assert grade_by(checker_of("exact"), "I do not know.", problem("5")) == (
        None, Verdict(outcome="ungradable", reason="no answer found", method="extract"),
    )  # fmt: skip


# --- reasoning_gym

GYM_SAMPLE = ("chain_sum", "knights_knaves", "family_relationships", "caesar_cipher", "time_intervals", "lcm")


@pytest.mark.parametrize("task", GYM_SAMPLE)
def test_the_tasks_own_scorer_decides(task: str) -> None:
    library = pytest.importorskip("reasoning_gym")
    dataset = library.create_dataset(task, size=3, seed=11)
    chosen = checker_of("reasoning_gym", [f"reasoning_gym:{task}"])
    for entry in dataset:
        about = problem(
            entry["answer"],
            question=entry["question"],
            source=f"reasoning_gym:{task}",
            entry=json.dumps(entry, default=str),
        )
        for answer in (entry["answer"], "7 or so"):
            expected = "right" if dataset.score_answer(answer, entry) == 1.0 else "wrong"
            assert chosen.compare(answer, about).outcome == expected
        assert chosen.compare(entry["answer"], about).right


def test_a_scorer_that_would_run_text_is_never_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkers, "_gym_dataset", lambda task: pytest.fail("called"))
    chosen = checker_of("reasoning_gym")
    for task in checkers._UNSAFE_TASKS:
        verdict = chosen.compare("__import__('os').abort()", problem("1", source=f"reasoning_gym:{task}"))
        assert verdict.outcome == "ungradable"
        with pytest.raises(BadRecipe, match="runs text as code"):
            checker_of("reasoning_gym", [f"reasoning_gym:{task}?size=3"])
    for answer in ("1e999999999", "9**9**9", "9" * 500, "x" * 20_000):
        assert chosen.compare(answer, problem("1", source="reasoning_gym:coin_flip")).outcome == "ungradable"


def runs_text(cls: type) -> bool:
    """True if `score_answer`, or what it calls in its module or class, calls eval, exec or a parser that evaluates."""
    module = ast.parse(inspect.getsource(inspect.getmodule(cls)))
    bodies = {node.name: node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)}
    seen, waiting = set(), ["score_answer"]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in bodies:
            continue
        seen.add(name)
        for node in ast.walk(bodies[name]):
            if isinstance(node, ast.Call):
                function = node.func
                called = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
                if (
                    called in {"eval", "exec", "compile", "parse_expr", "sympify", "__import__"}
                    and called not in bodies
                ):
                    return True
                waiting.append(called)
    return False


def test_every_task_whose_scorer_runs_text_is_known() -> None:
    pytest.importorskip("reasoning_gym")
    from reasoning_gym.factory import DATASETS

    found = {name for name, (cls, _) in DATASETS.items() if runs_text(cls)}
    assert found <= checkers._UNSAFE_TASKS
    assert {"countdown", "puzzle24", "n_queens", "number_sorting", "bitwise_arithmetic"} <= found


def test_another_source_is_refused() -> None:
    with pytest.raises(BadRecipe, match="not for gsm8k"):
        checker_of("reasoning_gym", ["gsm8k"])
    assert checker_of("reasoning_gym").compare("1", problem("1", source="gsm8k")).outcome == "ungradable"


ALL = ["exact", "choice", "numeric", "reasoning_gym"]


@given(st.sampled_from(ALL), st.text(max_size=80), st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_no_answer_makes_a_checker_raise(checker: str, answer: str, gold: str, question: str) -> None:
    about = problem(gold, question=question, source="reasoning_gym:lcm")
    assert checker_of(checker).compare(answer, about).outcome in {"right", "wrong", "ungradable"}
    checker_of(checker).extract(answer, about)


@given(st.sampled_from(["exact", "choice", "numeric"]), st.text(max_size=40), st.text(min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_no_one_calls_differing_digits_the_same(checker: str, first: str, second: str) -> None:
    digits = [[c for c in text if c.isdigit()] for text in (first, second)]
    letters = [[c for c in text.casefold() if c.isalpha()] for text in (first, second)]
    if checker == "exact" and digits[0] != digits[1]:
        assert not checker_of(checker).compare(first, problem(second)).right
    if checker == "choice" and letters[0] != letters[1] and not (set(letters[0]) | set(letters[1])) - set("abc"):
        verdict = checker_of(checker).compare(first, problem(second))
        assert not verdict.right or sorted(set(letters[0])) == sorted(set(letters[1]))

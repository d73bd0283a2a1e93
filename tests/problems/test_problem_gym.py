"""reasoning_gym: what is drawn is right by the library's own scorer, repeatable, and within the bounds asked for."""

import json
import re
import sys
from fractions import Fraction

import pytest

from redink.failures import Failure
from redink.problems import gym, load_problems, question_key
from redink.types import Problem

reasoning_gym = pytest.importorskip("reasoning_gym")

BY_RULE = [task for task in gym.TASKS if task != "gsm_symbolic"]
LINE = re.compile(r"(?:[\w ]+: )?(-?\d+)(?: ([-+*/]) (-?\d+))? = <<(\S+)=(-?\d+)>>(-?\d+)")
COUNT = 150


def line_is_true(line: str) -> bool:
    """Recompute a line of a solution from its text alone, and compare the text with its annotation."""
    match = LINE.fullmatch(line)
    assert match, line
    left, sign, right, annotated, value, written = match.groups()
    x, y = Fraction(left), Fraction(right or 1)
    result = {"+": x + y, "-": x - y, "*": x * y, "/": x / (y or 1), None: x}[sign]
    return result == Fraction(value) and value == written and annotated == f"{left}{sign or ''}{right or ''}"


@pytest.mark.parametrize("task", gym.TASKS)
def test_every_problem_satisfies_the_tasks_own_scorer(task: str) -> None:
    problems = load_problems(f"reasoning_gym:{task}", limit=COUNT, seed=5)
    dataset = reasoning_gym.create_dataset(task, seed=gym.library_seed(task, 5), size=4 * COUNT)
    entries = {entry["question"].strip(): entry for entry in dataset}
    assert len(problems) == len({question_key(row.question) for row in problems}) == COUNT
    for row in problems:
        entry = entries[row.question]
        assert dataset.score_answer(row.answer, entry) == 1.0
        assert (row.answer, row.subject, row.source) == (entry["answer"], task, f"reasoning_gym:{task}")
        assert row.level == str(len((row.solution or "").splitlines()))


@pytest.mark.parametrize("task", BY_RULE)
def test_every_line_by_rule_is_true_and_the_last_is_the_answer(task: str) -> None:
    dataset = reasoning_gym.create_dataset(task, seed=gym.library_seed(task, 6), size=4 * COUNT)
    entries = {entry["question"].strip(): entry for entry in dataset}
    for row in load_problems(f"reasoning_gym:{task}", limit=COUNT, seed=6):
        lines = (row.solution or "").splitlines()
        assert lines and all(line_is_true(line) for line in lines)
        assert dataset.score_answer(lines[-1].rpartition(">>")[2], entries[row.question]) == 1.0


def test_gsm_symbolic_keeps_its_own_solution_without_the_mark() -> None:
    problems = load_problems("reasoning_gym:gsm_symbolic", limit=20)
    dataset = reasoning_gym.create_dataset("gsm_symbolic", seed=gym.library_seed("gsm_symbolic", 0), size=3000)
    solutions = {dataset[i]["question"]: dataset[i]["metadata"]["answer_cot"] for i in range(40)}
    for row in problems:
        assert solutions[row.question].startswith(row.solution)
        assert solutions[row.question].removeprefix(row.solution or "").strip().startswith("####")


def test_draws_repeat_by_seed_and_do_not_run_into_each_other() -> None:
    def draw(seed: int, limit: int = 50) -> list[Problem]:
        return load_problems("reasoning_gym:basic_arithmetic", limit=limit, seed=seed)

    assert draw(1) == draw(1)
    assert draw(1)[:20] == draw(1, 20)
    # the library's own datasets of seeds 1 and 2 share all entries but one
    assert len({row.question for row in draw(1)} & {row.question for row in draw(2)}) <= 2


def test_default_is_a_hundred() -> None:
    assert len(load_problems("reasoning_gym:chain_sum")) == 100


@pytest.mark.parametrize("task", ["chain_sum", "leg_counting", "gsm_symbolic", "products"])
def test_within_keeps_every_number_within(task: str) -> None:
    for row in load_problems(f"reasoning_gym:{task}?within=0..150", limit=20):
        text = re.sub("<<.*?>>", "", f"{row.question} {row.solution}")
        assert "." not in re.findall(r"\d(\.)\d", text)
        assert all(int(number) <= 150 for number in re.findall(r"\d+", text.replace(",", "")))
        assert not re.search(r"(?:^|[\s(=*/+-])-\d", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 and 199", True),
        ("200", False),
        ("5 - 3 = <<5-300=2>>2", True),
        ("-3 + 5", False),
        ("5 - -3", False),
        ("5-3", True),
        ("(5)-3", True),
        ("1,200 apples", False),
        ("1, 2, 3", True),
        ("45.0°", True),
        ("0.5 of it", False),
        ("no number", True),
    ],
)
def test_all_within(text: str, expected: bool) -> None:
    assert gym.all_within(text, (0, 199)) is expected


def test_settings_reach_the_task() -> None:
    problems = load_problems("reasoning_gym:chain_sum?min_terms=3&max_terms=3&max_digits=1&within=-99..99", limit=50)
    assert all(re.search(r": \d [-+] \d [-+] \d =$", row.question) for row in problems)
    assert any(row.answer.startswith("-") for row in problems)
    signs = load_problems("reasoning_gym:basic_arithmetic?operators=+*&allow_parentheses=false", limit=30)
    assert all(re.fullmatch(r"Calculate \d+( [+*] \d+)*\.", row.question) for row in signs)


def test_options_are_scalars_or_text() -> None:
    options = gym.read_options('a=1&b=true&c=null&d=2.5&e="x"&f=no_space&g=[1]&within=-5..9')
    assert options.settings == {"a": 1, "b": True, "c": None, "d": 2.5, "e": "x", "f": "no_space", "g": "[1]"}
    assert options.within == (-5, 9)
    assert gym.read_options("") == gym.Options()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("chain_sum?min_termz=3", "no option 'min_termz'. Did you mean 'min_terms'?"),
        ("products?colour=3", "max_digits, allow_negation, within and operations."),
        ("chain_sum?operations=0", "operations=0 is no number of operations. Write operations=3"),
        ("chain_sum?operations=two", "operations=two is no number of operations."),
        ("chain_sum?seed=3", "the seed of the run that sets it"),
        ("chain_sum?size=3", "the limit that sets it"),
        ("chain_sum?min_terms=9", "refuses its options: max_terms must be >= min_terms."),
        ("chain_sum?min_terms=two", "refuses its options"),
        ("chain_sum?min_terms=2.5", "refuses its options"),
        ("gsm_symbolic?difficulty=2", "refuses its options: difficulty=2."),
        ("chain_sum?min_terms", "The option 'min_terms' has no value."),
        ("chain_sum?within=0-5", "within=0-5 is no range. Write within=0..199."),
        ("chain_sum?within=5..0", "within=5..0 is no range."),
        # 0+0, 0+1, 1+0, 0-0, 1-0 and 1-1 stay within 0..1
        ("chain_sum?max_digits=1&max_terms=2&within=0..1", "gave only 6 of 7 problems in 1700 draws."),
        ("products?within=-5..-1", "gave only 0 of 7"),
    ],
)
def test_unusable_options_are_one_line_failures(source: str, message: str) -> None:
    with pytest.raises(Failure) as caught:
        load_problems(f"reasoning_gym:{source}", limit=7)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_worked_answer_that_disagrees_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Floor:
        """Divides as the library does: 7 / 2 is 3, and sometimes by zero."""

        def __getitem__(self, index: int) -> gym.Metadata:
            expression = ["7 / 2", "6 / 2", "8 / 2"][index]
            answer = ["3", "3", "5"][index]
            return {"question": f"Calculate {expression}.", "answer": answer, "metadata": {"expression": expression}}

        def score_answer(self, answer: str, entry: gym.Metadata) -> float:
            return 1.0

    found = [gym._problem("basic_arithmetic", Floor(), index, None) for index in range(3)]
    assert [row.answer if row else None for row in found] == [None, "3", None]


def test_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ["reasoning_gym", "reasoning_gym.factory"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Failure, match="pip install reasoning_gym"):
        load_problems("reasoning_gym:chain_sum")


@pytest.mark.parametrize("task", ["knights_knaves", "word_sorting", "family_relationships"])
def test_any_other_task_gives_a_gold_answer_and_keeps_what_its_scorer_needs(task: str) -> None:
    problems = load_problems(f"reasoning_gym:{task}", limit=5, seed=2)
    assert len({row.question for row in problems}) == 5
    dataset = reasoning_gym.create_dataset(task, seed=99, size=1)
    for row in problems:
        assert row.solution is None
        assert (row.subject, row.source) == (task, f"reasoning_gym:{task}")
        assert dataset.score_answer(row.answer, json.loads(row.entry or "")) == 1.0
        assert Problem.model_validate_json(row.model_dump_json()) == row


def test_a_task_without_a_single_gold_answer_is_said() -> None:
    with pytest.raises(Failure, match="gave only 0 of 3"):
        load_problems("reasoning_gym:graph_color", limit=3)

"""Who says whether an answer is right: a `Checker`, chosen per problem set; mathematics is the default.

A checker is named by a specification, `name` or `name?option=value&option=value`:

    math                     `compare` of this package; its options are the fields of `Switches`
    exact                    the same text but for outer and repeated white space; `ignore_case=true`
    choice                   one or more option letters, or the text of an option as the question lists it
    numeric                  one number with a unit; `rel=0.01` allows a relative difference, `units=required`
    reasoning_gym            the scorer of the problem's own reasoning_gym task; `at_least=1.0`
    module:function          a Python callable of the user's: function(answer, gold) or function(answer, gold, problem)

Only a recipe or a command names a checker, never a row of data: data cannot choose code.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import json
import math
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from redink.answers.checking import compare_many
from redink.answers.extraction import extract
from redink.answers.quantities import HUNDREDTH, Quantity, read_quantity
from redink.answers.switches import DEFAULT, Switches
from redink.answers.units import convertible
from redink.failures import BadRecipe
from redink.progress import Advance, quiet
from redink.types import Outcome, Problem, Verdict

T = TypeVar("T")
NO_ANSWER = Verdict(outcome="ungradable", reason="no answer found", method="extract")
DECIMAL_TOLERANCE = Fraction(1, 10**6)
LONGEST = 10_000


class Checker(Protocol):
    """Finds the answer of a reply and says whether it is right, wrong or ungradable; it never raises for an answer."""

    @property
    def name(self) -> str:
        """The specification, as results name it."""

    def extract(self, reply: str, problem: Problem) -> str | None:
        """The answer that a reply gives, or None."""

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """The verdict on an answer to a problem."""

    def compare_many(
        self, answers: Sequence[str], problems: Sequence[Problem], advance: Advance = quiet
    ) -> list[Verdict]:
        """The verdicts on aligned answers and problems, in their order."""


class _Checking:
    """What most checkers share: extraction by `extract`, and batches one by one."""

    def extract(self, reply: str, problem: Problem) -> str | None:
        return extract(reply).answer

    def compare(self, answer: str, problem: Problem) -> Verdict:
        raise NotImplementedError

    def compare_many(
        self, answers: Sequence[str], problems: Sequence[Problem], advance: Advance = quiet
    ) -> list[Verdict]:
        verdicts = []
        for answer, problem in zip(answers, problems, strict=True):
            verdicts.append(self.compare(answer, problem))
            advance()
        return verdicts


def grade_by(checker: Checker, reply: str, problem: Problem) -> tuple[str | None, Verdict]:
    """Extract the answer of a reply and check it."""
    answer = checker.extract(reply, problem)
    return answer, (NO_ANSWER if answer is None else checker.compare(answer, problem))


@dataclass(frozen=True)
class MathChecker(_Checking):
    """`compare` and `compare_many` of this package."""

    switches: Switches = DEFAULT
    name: str = "math"

    def extract(self, reply: str, problem: Problem) -> str | None:
        """As the switches say."""
        return extract(reply, self.switches).answer

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """By value and structure; waits for a worker that is only starting, so the verdict is the same each time."""
        return compare_many([(answer, problem.answer)], self.switches)[0]

    def compare_many(
        self, answers: Sequence[str], problems: Sequence[Problem], advance: Advance = quiet
    ) -> list[Verdict]:
        """Each distinct pair once."""
        pairs = [(answer, problem.answer) for answer, problem in zip(answers, problems, strict=True)]
        return compare_many(pairs, self.switches, advance)


MATH = MathChecker()


@dataclass(frozen=True)
class ExactChecker(_Checking):
    """The same text in Unicode's composed form, white space squeezed."""

    ignore_case: bool = False
    name: str = "exact"

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """Right or wrong, never ungradable."""
        return _decided(self._form(answer) == self._form(problem.answer), "exact")

    def _form(self, text: str) -> str:
        text = " ".join(unicodedata.normalize("NFC", text).split())
        return text.casefold() if self.ignore_case else text


_LETTERS = re.compile(r"\(?\s*([A-Za-z])\s*\)?(?:\s*[.:)]\s*(.*))?", re.DOTALL)
_LIST = re.compile(r"\s*(?:,|;|\band\b|&)\s*")
_OPTION = re.compile(r"(?:^|(?<=\s))(?:\(([A-Z])\)|([A-Z])[.):])[ \t]+(.+?)(?=\s+(?:\([A-Z]\)|[A-Z][.):])[ \t]|\n|$)")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|boxed)\s*\{([^{}]*)\}")
_STATED = re.compile(r"\b(?:answer|option|choice)\b(?:\s+is)?\s*:?\s*\**\(?([A-Z])\)?(?![A-Za-z'])")


@dataclass(frozen=True)
class ChoiceChecker(_Checking):
    """Multiple choice: letters in any order; an option's text stands for its letter where the question lists it."""

    name: str = "choice"

    def extract(self, reply: str, problem: Problem) -> str | None:
        """As everywhere; else the last "answer is (B)", else the last line if it is nothing but letters."""
        found = extract(reply).answer
        if found is not None and self._read(found, problem) is not None:
            return found
        stated = _STATED.findall(reply)
        if stated:
            return str(stated[-1])
        last = reply.strip().rpartition("\n")[2].strip()
        return last if _by_letter(last) is not None else found

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """Ungradable where either side names no option."""
        given, gold = self._read(answer, problem), self._read(problem.answer, problem)
        if given is None or gold is None:
            side = "answer" if given is None else "gold answer"
            return _undecided(f"the {side} names no option", "choice")
        return _decided(given == gold, "choice")

    def _read(self, text: str, problem: Problem) -> frozenset[str] | None:
        text = _plain_words(text)
        by_text = {_plain_words(option).casefold(): letter for letter, option in options_of(problem.question).items()}
        if text.casefold().rstrip(".") in by_text:
            return frozenset({by_text[text.casefold().rstrip(".")]})
        return _by_letter(text)


def options_of(question: str) -> dict[str, str]:
    """The options "(A) …", "B. …" or "C) …" that a question lists, by letter; {} unless they run A, B, C, …"""
    found = {first or second: text.strip().rstrip(".") for first, second, text in _OPTION.findall(question[:LONGEST])}
    return found if sorted(found) == [chr(65 + index) for index in range(len(found))] else {}


def _by_letter(text: str) -> frozenset[str] | None:
    parts = [_LETTERS.fullmatch(part) for part in _LIST.split(_plain_words(text)[:LONGEST]) if part]
    if len(parts) == 1 and parts[0] is not None:
        return frozenset({parts[0][1].upper()})
    letters = [part[1].upper() for part in parts if part is not None and part[2] is None]
    return frozenset(letters) if letters and len(letters) == len(parts) else None


def _plain_words(text: str) -> str:
    text = _WRAPPED.sub(r"\1", text[:LONGEST])
    return " ".join(text.replace("$", "").replace("*", "").split())


@dataclass(frozen=True)
class NumericChecker(_Checking):
    """One number with a unit, converted exactly; whole golds and fractions exactly, decimal golds to `rel`."""

    rel: Fraction | None = None
    units_required: bool = False
    name: str = "numeric"

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """Ungradable where a side is no single number, or two units cannot be converted for sure."""
        given, gold = read_quantity(answer), read_quantity(problem.answer)
        if given is None or gold is None:
            side = "answer" if given is None else "gold answer"
            return _undecided(f"the {side} is no single number with a unit", "numeric")
        return self._compared(given, gold)

    def _compared(self, given: Quantity, gold: Quantity) -> Verdict:
        if given.unit is None or gold.unit is None:
            return self._without_unit(given, gold)
        convert = convertible(given.unit, gold.unit)
        if convert is None:
            differ = not ((given.unit.known and gold.unit.known) or self._near(given.number, gold))
            return _decided(False, "numeric") if differ else _undecided("the units cannot be converted", "numeric")
        return self._verdict(convert and self._near(given.value, gold, in_base_units=True), gold)

    def _without_unit(self, given: Quantity, gold: Quantity) -> Verdict:
        if self.units_required and (given.unit is None) != (gold.unit is None):
            return Verdict(outcome="wrong", reason="one side has no unit", method="numeric")
        unit = given.unit or gold.unit
        converted = unit == HUNDREDTH and self._near(given.value, gold, in_base_units=True)
        return self._verdict(converted or self._near(given.number, gold), gold)

    def _near(self, number: Fraction, gold: Quantity, *, in_base_units: bool = False) -> bool:
        target = gold.value if in_base_units else gold.number
        return abs(number - target) <= self._tolerance(gold) * abs(target)

    def _tolerance(self, gold: Quantity) -> Fraction:
        return self.rel if self.rel is not None else DECIMAL_TOLERANCE * gold.decimal

    def _verdict(self, right: bool, gold: Quantity) -> Verdict:
        allowed = self._tolerance(gold)
        reason = f"within {float(allowed):g} of the gold answer" if right and allowed else ""
        return Verdict(outcome="right" if right else "wrong", reason=reason, method="numeric")


# their scorers run the answer or the entry as code (eval, sympy's parse_expr); the next need tuples, lost in JSON
_UNSAFE_TASKS = frozenset({
    "binary_matrix", "bitwise_arithmetic", "countdown", "intermediate_integration", "n_queens", "number_sorting",
    "polynomial_multiplication", "puzzle24", "simple_integration", "spiral_matrix", "string_insertion",
})  # fmt: skip
_UNKEPT_TASKS = frozenset({"arc_agi", "rearc", "composite"})
_HUGE_POWER = re.compile(r"[eE][-+]?\d{4,}|\*\*|\d{400,}")


@dataclass(frozen=True)
class GymChecker(_Checking):
    """The scorer of the problem's own reasoning_gym task, given the entry that the problem keeps.

    Tasks whose scorer would run the answer as code are ungradable here, and refused by `refuse_source`.
    """

    at_least: float = 1.0
    name: str = "reasoning_gym"

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """Right if the score is at least `at_least`; the reason gives the score."""
        task = gym_task(problem.source)
        if task is None or task in _UNSAFE_TASKS | _UNKEPT_TASKS:
            return _undecided("no problem of a task that reasoning_gym can score safely", "reasoning_gym")
        if len(answer) > LONGEST or _HUGE_POWER.search(answer):
            return _undecided("too long, or a power too large", "reasoning_gym")
        try:
            score = float(_gym_dataset(task).score_answer(answer, _gym_entry(problem)))
        except Exception as failure:
            return _undecided(f"the scorer failed ({type(failure).__name__})", "reasoning_gym")
        if not math.isfinite(score):
            return _undecided("the scorer gave no number", "reasoning_gym")
        outcome: Outcome = "right" if score >= self.at_least else "wrong"
        return Verdict(outcome=outcome, reason=f"score {score:g}", method="reasoning_gym")


def gym_task(source: str) -> str | None:
    """The task of a source such as 'reasoning_gym:chain_sum?max_terms=4'; None if it is no source of that library."""
    library, _, task = source.partition(":")
    return task.partition("?")[0] if library == "reasoning_gym" and task else None


def refuse_source(source: str) -> None:
    """Raise `BadRecipe` for a source whose problems reasoning_gym cannot score, or not safely."""
    task, remedy = gym_task(source), "Choose another checker for it, such as exact or a module:function of your own."
    if task is None:
        raise BadRecipe(f"The checker reasoning_gym is not for {source}.", remedy)
    if task in _UNSAFE_TASKS:
        raise BadRecipe(f"The scorer of reasoning_gym:{task} runs text as code; it is not used.", remedy)
    if task in _UNKEPT_TASKS:
        raise BadRecipe(f"The scorer of reasoning_gym:{task} needs data that a problem file cannot keep.", remedy)


def _gym_entry(problem: Problem) -> dict[str, Any]:
    if problem.entry is not None:
        return dict(json.loads(problem.entry))
    return {"question": problem.question, "answer": problem.answer, "metadata": {}}


@lru_cache(maxsize=128)
def _gym_dataset(task: str) -> Any:
    """Any dataset of the task: scorers read the entry, not the settings."""
    try:
        library = importlib.import_module("reasoning_gym")
    except ImportError:
        raise BadRecipe("reasoning_gym is not installed.", "pip install reasoning_gym") from None
    return library.create_dataset(task, size=1, seed=0)


@dataclass(frozen=True)
class CallableChecker(_Checking):
    """A callable of the user's; it says True, False, None (ungradable) or gives a `Verdict`."""

    function: Callable[..., Any]
    name: str
    takes_problem: bool = False

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """What the callable says; an exception in it makes this answer ungradable, with its name as the reason."""
        try:
            said = self.function(answer, problem.answer, *([problem] if self.takes_problem else []))
        except Exception as failure:
            return _undecided(f"{type(failure).__name__}: {failure}"[:200], self.name)
        return self._verdict(said)

    def _verdict(self, said: object) -> Verdict:
        if isinstance(said, Verdict):
            return said
        if said is None:
            return _undecided("the checker does not decide", self.name)
        if isinstance(said, bool) or type(said).__name__ == "bool_":
            return _decided(bool(said), self.name)
        raise BadRecipe(
            f"The checker {self.name} returned {type(said).__name__}.",
            "It must return True, False, None or a redink.Verdict.",
        )


@dataclass(frozen=True)
class BySource(_Checking):
    """One checker per source of problems, and one for all others."""

    checkers: Mapping[str, Checker]
    default: Checker = field(default=MATH)

    @property
    def name(self) -> str:
        """Each source with its checker."""
        named = [f"{source}={checker.name}" for source, checker in sorted(self.checkers.items())]
        return ", ".join([*named, self.default.name])

    def of(self, source: str) -> Checker:
        """The checker of the longest name that the source is, or begins with before a : / or ?."""
        fitting = [name for name in self.checkers if _belongs(source, name)]
        return self.checkers[max(fitting, key=len)] if fitting else self.default

    def extract(self, reply: str, problem: Problem) -> str | None:
        """By the problem's own checker."""
        return self.of(problem.source).extract(reply, problem)

    def compare(self, answer: str, problem: Problem) -> Verdict:
        """By the problem's own checker."""
        return self.of(problem.source).compare(answer, problem)

    def compare_many(
        self, answers: Sequence[str], problems: Sequence[Problem], advance: Advance = quiet
    ) -> list[Verdict]:
        """Each checker's batch in one go, the verdicts in the order of the answers."""
        places: dict[str, list[int]] = {}
        chosen = [self.of(problem.source) for problem in problems]
        for place, checker in enumerate(chosen):
            places.setdefault(checker.name, []).append(place)
        verdicts: dict[int, Verdict] = {}
        for batch in places.values():
            checker = chosen[batch[0]]
            made = checker.compare_many([answers[i] for i in batch], [problems[i] for i in batch], advance)
            verdicts.update(zip(batch, made, strict=True))
        return [verdicts[place] for place in range(len(answers))]


def _belongs(source: str, name: str) -> bool:
    """True if `source` is `name`, or `name` and a split, settings or a part of it: gsm8k/train, jsonl:mine.jsonl."""
    rest = source[len(name) :]
    return source.startswith(name) and (not rest or rest[0] in "/?:")


def checker_of(specification: str | Mapping[str, str], sources: Iterable[str] = ()) -> Checker:
    """The checker that a specification names, or one per source for a table of them ("default" names the rest).

    `sources` are those whose problems it is for. Raises `BadRecipe` for a name that is none (with the nearest), an
    option that the checker does not take, a callable that cannot be imported, or a source that it cannot check.
    """
    if isinstance(specification, str):
        made = _made(specification)
    else:
        table = {source: _made(name) for source, name in specification.items() if source != "default"}
        made = BySource(table, _made(specification.get("default", "math")))
    for source in sources:
        chosen = made.of(source) if isinstance(made, BySource) else made
        if isinstance(chosen, GymChecker):
            refuse_source(source)
    return made


def _made(specification: str) -> Checker:
    name, _, rest = specification.partition("?")
    options = _options(specification, rest)
    if name in _MAKERS:
        made: Checker = _MAKERS[name](specification, options)
        _refuse_left_over(specification, options)
        return made
    if ":" in name:
        _refuse_left_over(specification, options)
        return _callable(name)
    near = difflib.get_close_matches(name, _MAKERS, 1)
    hint = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(_MAKERS)}, and module:function."
    raise BadRecipe(f"There is no checker '{name}'.", hint)


def with_options(specification: str, options: Sequence[str]) -> str:
    """The specification with more options of the form key=value.

    >>> with_options("math?units=ignored", ["percent=value"])
    'math?units=ignored&percent=value'
    """
    name, _, rest = specification.partition("?")
    return f"{name}?{'&'.join(filter(None, [rest, *options]))}" if rest or options else name


def _options(specification: str, text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split("&") if part]
    if wrong := [key for key, mark, value in pairs if not (key and mark and value)]:
        raise BadRecipe(f"checker {specification}: the option '{wrong[0]}' has no value.", "Options read key=value.")
    return {key: value for key, _, value in pairs}


def _refuse_left_over(specification: str, options: Mapping[str, str]) -> None:
    if options:
        raise BadRecipe(f"checker {specification}: it has no option '{next(iter(options))}'.", "See docs/checkers.md.")


def _flag(specification: str, options: dict[str, str], key: str) -> bool:
    value = options.pop(key, "false").lower()
    if value not in ("true", "false"):
        raise BadRecipe(f"checker {specification}: {key}={value} is neither true nor false.")
    return value == "true"


def _share(specification: str, options: dict[str, str], key: str) -> Fraction | None:
    value = options.pop(key, None)
    if value is None:
        return None
    if not re.fullmatch(r"\d{0,9}(?:\.\d{1,20})?", value) or value == "":
        raise BadRecipe(f"checker {specification}: {key}={value} is no share.", f"For example {key}=0.01")
    return Fraction(value)


def _math(specification: str, options: dict[str, str]) -> Checker:
    try:
        switches = switches_of(options)
    except BadRecipe as failure:
        raise BadRecipe(f"checker {specification}: {failure.what}", failure.remedy) from None
    options.clear()
    return MathChecker(switches, specification)


def switches_of(options: Mapping[str, str]) -> Switches:
    """Switches from texts such as {"percent": "value"}; raises `BadRecipe` naming the switch and what it takes."""
    for key in options:
        if key not in Switches.model_fields:
            near = difflib.get_close_matches(key, Switches.model_fields, 1)
            hint = f"Did you mean '{near[0]}'?" if near else f"There are {', '.join(Switches.model_fields)}."
            raise BadRecipe(f"there is no switch '{key}'.", hint)
    try:
        return Switches.model_validate(dict(options))
    except ValidationError as failure:
        first = failure.errors()[0]
        raise BadRecipe(f"switch {first['loc'][0]}={first['input']}: {first['msg']}.") from None


def _exact(specification: str, options: dict[str, str]) -> Checker:
    return ExactChecker(_flag(specification, options, "ignore_case"), specification)


def _choice(specification: str, options: dict[str, str]) -> Checker:
    return ChoiceChecker(specification)


def _numeric(specification: str, options: dict[str, str]) -> Checker:
    rel, units = _share(specification, options, "rel"), options.pop("units", "optional")
    if units not in ("optional", "required"):
        raise BadRecipe(f"checker {specification}: units={units} is unknown.", "It is optional or required.")
    return NumericChecker(rel, units == "required", specification)


def _gym(specification: str, options: dict[str, str]) -> Checker:
    least = _share(specification, options, "at_least")
    return GymChecker(1.0 if least is None else float(least), specification)


_MAKERS: dict[str, Callable[[str, dict[str, str]], Checker]] = {
    "math": _math, "exact": _exact, "choice": _choice, "numeric": _numeric, "reasoning_gym": _gym,
}  # fmt: skip


def _callable(name: str) -> Checker:
    """The user's callable, its module imported with the working directory on the path."""
    module_name, _, function_name = name.partition(":")
    with _working_directory_on_path():
        try:
            function = importlib.import_module(module_name)
        except Exception as failure:
            raise BadRecipe(
                f"checker {name}: the module '{module_name}' cannot be imported ({type(failure).__name__}: {failure}).",
                "It is looked for among the installed modules and in the working directory.",
            ) from None
    found: Any = function
    for part in function_name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise BadRecipe(f"checker {name}: '{module_name}' has no function '{function_name}'.")
    return CallableChecker(found, name, _takes_problem(name, found))


@contextmanager
def _working_directory_on_path() -> Iterator[None]:
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


def _takes_problem(name: str, function: Callable[..., Any]) -> bool:
    signature = inspect.signature(function)
    for count in (3, 2):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count == 3
    raise BadRecipe(
        f"checker {name}: it takes {signature}.", "Write function(answer, gold) or function(answer, gold, problem)."
    )


def _decided(right: bool, method: str) -> Verdict:
    return Verdict(outcome="right" if right else "wrong", method=method)


def _undecided(reason: str, method: str) -> Verdict:
    return Verdict(outcome="ungradable", reason=reason, method=method)

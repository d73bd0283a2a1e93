"""The offline teacher and inspector: by rule, from the gold solution (the project's own; SuperCorrect uses o1-mini).

Three parts: the gold solution read into worked steps, the locator of the first wrong step, and on top of
these `ReferenceTeacher` and `ReferenceInspector`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, groupby
from math import prod

from redink.failures import Unteachable
from redink.teaching.arithmetic import in_the_head, spelled
from redink.teaching.chains import at_once, long_chain, rewritten
from redink.teaching.equations import (
    Equation,
    Expression,
    close,
    find_equations,
    find_numbers,
    find_statements,
    read_value,
    show,
)
from redink.teaching.protocols import Inspection
from redink.teaching.quotes import quotes
from redink.types import Attempt, CorrectionTrace, LocatedError, Problem, Step, Thought

_WORDS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "^": "raise to a power"}
_ANNOTATION = re.compile(r"<<[^<>\n]*>>")
_EVERYDAY = frozenset(Fraction(n) for n in (0, 1, 2, 7, 12, 24, 30, 52, 60, 100, 365, 1000))  # days, hours, per cent, …
_NUMBER_WORDS = {
    **{"zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
    **{"ten": 10, "eleven": 11, "twelve": 12, "dozen": 12, "once": 1, "twice": 2, "double": 2, "half": 2, "pair": 2},
    **{"third": 3, "triple": 3, "quarter": 4},
}


# ---------------------------------------------------------------- the gold solution


@dataclass(frozen=True)
class WorkedStep:
    """One line of the gold solution."""

    line: str  # as people read it, without annotations
    setup: str  # the line without the result of its last equation
    equation: Equation | None  # its last equation

    @property
    def key(self) -> str | None:
        """The last equation, spelled out."""
        return spelled(self.equation.setup, self.equation.result.text) if self.equation else None

    @property
    def value(self) -> Fraction | None:
        """What the last equation comes to, as shown."""
        return self.equation.result.shown if self.equation else None


Part = tuple[tuple[Fraction, ...], Fraction]
"""Operands in ascending order, and a value."""


@dataclass(frozen=True)
class GoldReading:
    """What a gold solution says, as far as arithmetic can tell."""

    steps: tuple[WorkedStep, ...]
    reached: Expression | None  # the value that the last line comes to
    answer: Fraction | None  # the gold answer; None if it is no number
    computed: frozenset[Fraction]  # every value that a line of the solution comes to
    parts: frozenset[Part]  # what some of the operands of a sum or product come to
    given: frozenset[Fraction]  # every number that it or the question states, and everyday ones

    @property
    def computes(self) -> tuple[int, ...]:
        """The indices of the steps that hold an equation."""
        return tuple(index for index, step in enumerate(self.steps) if step.equation)

    def equation(self, index: int) -> Equation:
        """The equation of one of the steps that compute."""
        found = self.steps[index].equation
        if found is None:
            raise IndexError(f"step {index + 1} of the gold solution computes nothing")
        return found


@lru_cache(maxsize=1024)
def read_gold(problem: Problem) -> GoldReading:
    """Read the gold solution of a problem; raises `Unteachable` 'no_solution' if there is none."""
    lines = _lines(problem.solution or "")
    if not lines:
        raise Unteachable("no_solution", f"problem {problem.id} has no gold solution", problem.question)
    lines += _in_hundredths(problem.question, _reached(lines))
    answer = read_value(problem.answer)
    equations = [equation for line in lines for equation in find_equations(line)]
    shown = answer.shown if answer else None
    return GoldReading(
        steps=tuple(_worked_step(line) for line in lines),
        reached=_reached(lines),
        answer=shown,
        computed=frozenset(_computed(lines, equations)) | ({shown} if shown is not None else set()),
        parts=frozenset(part for equation in equations for part in _parts(equation.setup)),
        given=frozenset(_given(problem.question, lines, equations)),
    )


def _lines(solution: str) -> list[str]:
    return [line.strip() for line in solution.splitlines() if line.strip() and not line.lstrip().startswith("####")]


def _in_hundredths(question: str, reached: Expression | None) -> list[str]:
    """The line that is missing where cents or a percentage are asked for and a part of one is reached: `0.25`."""
    asked = re.search(r"\b(?:cents|percent|percentage)\b", re.split(r"[.?!]\s", question.strip())[-1])
    if not asked or reached is None or reached.percent or not reached.decimals or not 0 < reached.value < 1:
        return []
    return [f"{reached.text} * 100 = {show(reached.value * 100)}"]


def _worked_step(line: str) -> WorkedStep:
    equation = next(reversed(find_equations(line)), None)
    plain = _plain(line)
    setup = _plain(_without_result(line, equation)) if equation else plain
    whole = all(found.holds for found in find_equations(setup))
    return WorkedStep(plain, setup if whole else plain, equation)


def _plain(line: str) -> str:
    """Without annotations, and without the gaps that they leave."""
    return re.sub(r"\s+([.,;:!?])", r"\1", re.sub(r"\s+", " ", _ANNOTATION.sub("", line))).strip()


def _without_result(line: str, equation: Equation) -> str:
    """`She sold 48/2 = <<48/2=24>>24 clips.` → `She sold 48/2 clips.`

    A left side that cannot be evaluated is kept: `Total = <<4+5=9>>9` → `Total = 4 + 5`.
    """
    found = equation.statement
    if not equation.left.operators:
        return line[: found.start] + line[found.sign + 1 :].lstrip()
    before = line[: found.sign].rstrip()
    if found.start == found.sign:
        before += f" = {equation.left.text}" if line[found.sign] == "=" else f" {equation.left.text}"
    return before + _once(before, line[found.end :])


def _once(before: str, after: str) -> str:
    """The text after a gap, without a unit that stands before it too: `50 pounds - 16 pounds [= 34] pounds`."""
    unit = before.rpartition(" ")[2]
    return after.lstrip().removeprefix(unit) if unit.isalpha() and after.lstrip().startswith(unit) else after


def _reached(lines: Sequence[str]) -> Expression | None:
    """What the last line that holds a number comes to.

    That is the right side of its last equation, or what that is rounded to; in a closing sentence without equation
    the value computed last, if it is restated, else the last number before any "because".
    """
    for index in range(len(lines) - 1, -1, -1):
        if value := _conclusion(lines[index], lines[:index]):
            return value
    return None


def _conclusion(line: str, before: Sequence[str]) -> Expression | None:
    if stated := find_statements(line):
        return _rounded(line[stated[-1].end :]) or stated[-1].right
    numbers = find_numbers(line.partition(" because ")[0]) or find_numbers(line)
    return (_restated(_last_computed(before), numbers) or numbers[-1]) if numbers else None


def _last_computed(lines: Sequence[str]) -> Expression | None:
    for line in reversed(lines):
        if stated := find_statements(line):
            return stated[-1].right
    return None


def _restated(value: Expression | None, numbers: Sequence[Expression]) -> Expression | None:
    return next((number for number in numbers if value and number.shown == value.shown), None)


def _rounded(rest: str) -> Expression | None:
    found = re.search(r"\bround(?:s|ed|ing)?(?: (?:up|down|off))? to\b", rest)
    return next(iter(find_numbers(rest[found.end() :])), None) if found else None


def _computed(lines: Iterable[str], equations: Iterable[Equation]) -> Iterable[Fraction]:
    for line in lines:
        yield from (statement.right.shown for statement in find_statements(line))
    for equation in equations:
        yield from (equation.result.value, equation.result.shown)


def _parts(setup: Expression) -> Iterable[Part]:
    """What some of the operands come to, where all operators are + and - (*): of `43 - 4 - 8`, 43 and 4 come to 39."""
    operators = set(setup.operators)
    if not 2 <= len(setup.operators) <= 6 or not (operators <= {"+", "-"} or operators == {"*"}) or "(" in setup.text:
        return
    signed = [-n if op == "-" else n for op, n in zip(("+", *setup.operators), setup.operands, strict=True)]
    for size in range(2, len(signed)):
        for chosen in combinations(signed, size):
            value = prod(chosen, start=Fraction(1)) if "*" in operators else abs(sum(chosen, Fraction(0)))
            yield tuple(sorted(map(abs, chosen))), value


def _given(question: str, lines: Iterable[str], equations: Iterable[Equation]) -> Iterable[Fraction]:
    yield from _EVERYDAY
    for text in (question, *lines):
        for number in find_numbers(text):
            yield from (number.shown, number.value)
    for word in re.findall(r"[a-z]+", question.lower()):
        if (known := _NUMBER_WORDS.get(word, _NUMBER_WORDS.get(word.removesuffix("s")))) is not None:
            yield Fraction(known)
    for equation in equations:
        yield from equation.setup.operands


# ---------------------------------------------------------------- the locator


@dataclass(frozen=True)
class StepReading:
    """What one step of a student claims."""

    setup: Expression | None  # the step's text, where the whole of it is an expression (`14 + 27`)
    equations: tuple[Equation, ...]  # in text and key
    results: tuple[Expression, ...]  # what it computes: of a key that spells one computation out, only its end
    operands: tuple[tuple[Fraction, ...], ...]  # what each of these is computed from
    stated: tuple[Expression, ...]  # right sides whose left side cannot be evaluated
    numbers: tuple[Expression, ...]  # every number, in order; only those of a boxed answer if there is one

    @property
    def false_equation(self) -> Equation | None:
        """The first equation that does not hold."""
        return next((equation for equation in self.equations if not equation.holds), None)

    @property
    def strays(self) -> bool:
        """The key ends in another value than the text sets up."""
        return self.setup is not None and bool(self.results) and not close(self.setup, self.results[-1])


@lru_cache(maxsize=4096)
def read_step(step: Step) -> StepReading:
    """Read the arithmetic of one step."""
    text, key = find_statements(step.text), find_statements(step.key or "")
    equations = (*find_equations(step.text), *find_equations(step.key or ""))
    whole = read_value(step.text) if step.key else None
    ends = [*find_equations(step.text), *find_equations(step.key or "")[-1:]]
    setup = whole if whole and whole.operators else None
    both = f"{step.text}\n{step.key or ''}"
    boxed = re.findall(r"boxed\{([^{}]*)\}", both)
    return StepReading(
        setup=setup,
        equations=equations,
        results=tuple(equation.result for equation in ends),
        operands=tuple((setup or equation.setup).operands for equation in ends),
        stated=tuple(found.right for found in (*text, *key) if found.left is None),
        numbers=find_numbers(" ".join(boxed)) if boxed else find_numbers(both),
    )


def first_wrong_step(problem: Problem, steps: Sequence[Step]) -> int | None:
    """The number k (from 1) of the first wrong step, or None if no step is wrong.

    A step is wrong if an equation in it is false (or its key does not end in what its text sets up); or, unless the
    last step ends in the gold answer, if it computes a value that the gold solution never computes (what some operands
    of a gold sum or product come to is no such value, nor is one that an earlier right step computed), states one that
    neither gold solution nor question know, or is the last, computes nothing and states no gold answer.

    Alternative routes: a solution that ends in the gold answer by true equations is right, whatever its values.
    Raises `Unteachable` 'no_solution'.
    """
    gold, readings = read_gold(problem), [read_step(step) for step in steps]
    arrives = bool(readings) and _arrives(gold, readings[-1])
    origins: dict[Fraction, tuple[Fraction, ...]] = {}
    for number, reading in enumerate(readings, start=1):
        last = number == len(readings)
        if _false(reading) or (not arrives and _astray(gold, reading, origins, last)):
            return number
        for result, operands in zip(reading.results, reading.operands, strict=True):
            if result.value not in gold.computed:
                origins.setdefault(result.value, _origin(operands, origins))
    return None


def _origin(operands: Iterable[Fraction], origins: Mapping[Fraction, tuple[Fraction, ...]]) -> tuple[Fraction, ...]:
    """The numbers that a result comes from, where earlier results are followed back: 9 + 2, with 9 from 5 + 4."""
    return tuple(sorted(part for operand in operands for part in origins.get(operand, (abs(operand),))))


def _false(reading: StepReading) -> bool:
    return reading.false_equation is not None or reading.strays


def _arrives(gold: GoldReading, reading: StepReading) -> bool:
    return bool(reading.numbers) and gold.answer is not None and reading.numbers[-1].shown == gold.answer


def _astray(
    gold: GoldReading, reading: StepReading, origins: Mapping[Fraction, tuple[Fraction, ...]], last: bool
) -> bool:
    """Whether a step leaves what gold solution, question and earlier right steps know; these computed `origins`."""
    if gold.answer is None or not gold.computes:
        return False
    strict = gold.computed | origins.keys()
    loose = strict | gold.given | {value for _, value in gold.parts}
    for result, operands in zip(reading.results, reading.operands, strict=True):
        part = _origin(operands, origins), result.value
        if not _known(result, strict) and part not in gold.parts:
            return True
    silent = not (reading.equations or reading.stated)
    if not all(_known(value, loose) for value in (reading.numbers if silent else reading.stated)):
        return True
    return last and silent and all(number.shown != gold.answer for number in reading.numbers)


def _known(found: Expression, values: Collection[Fraction]) -> bool:
    """Whether the value is among these, a number that is not whole within half a percent."""
    if found.value in values or found.shown in values:
        return True
    return found.value.denominator != 1 and any(abs(found.value - value) * 200 <= abs(value) for value in values)


# ---------------------------------------------------------------- the teacher


@dataclass(frozen=True)
class Mending:
    """How a wrong step k is mended: the gold step that it should have been, and those that still follow."""

    correction: str  # how the step comes to its result
    value: Fraction  # the gold value of the step
    cause: str
    rest: tuple[WorkedStep, ...]


class ReferenceTeacher:
    """Writes thoughts, corrections and chains from the gold solution, by rule.

    `error_rate` spoils that share of its thoughts and corrections on purpose, so that an inspector has something to
    find; whether a piece is spoilt depends only on `seed`, problem, sample and the remarks, so a run repeats and a
    retry may succeed. With `quotes` each key of a thought begins with the operation and the words of the question that
    it takes up; with `hard_keys` only the steps that are more than one does in the head have a key.
    """

    def __init__(self, error_rate: float = 0.0, seed: int = 0, quotes: bool = False, hard_keys: bool = False) -> None:
        """Spoil a share of the work, `error_rate` from 0 to 1; raises `ValueError` outside of that."""
        if not 0 <= error_rate <= 1:
            raise ValueError(f"error_rate is a share from 0 to 1, not {error_rate}.")
        self.error_rate, self.seed, self.quotes, self.hard_keys = error_rate, seed, quotes, hard_keys

    async def thought(self, problem: Problem, remarks: Sequence[str] = ()) -> Thought:
        """The gold solution as a thought: each step sets up, its key comes to the result.

        Raises `Unteachable`: 'no_solution', 'false_equation' (the gold solution miscalculates) or 'answer_mismatch'
        (its steps do not reach the gold answer).
        """
        gold = _teachable(problem)
        steps = _setups(gold)
        if self.hard_keys:
            steps = tuple(at_once(step, in_the_head) for step in steps)
        if self.quotes:
            steps = _quoting(steps, problem, gold)
        thought = Thought(steps=steps, generalized=_generalized(gold.steps), answer=problem.answer)
        dice = self._dice(problem, "thought", remarks)
        return _spoilt_thought(thought, dice) if dice.random() < self.error_rate else thought

    async def correction(self, problem: Problem, attempt: Attempt, remarks: Sequence[str] = ()) -> CorrectionTrace:
        """The attempt up to its first wrong step k, cause and correction, and the steps that follow from it.

        A right attempt comes back as it is, with no error. Raises `Unteachable` as `thought` does, and 'no_steps',
        'unlocated' (a wrong answer, but no step is wrong) or 'lucky_answer' (a right answer over a false equation).
        """
        gold = _teachable(problem)
        if not attempt.steps:
            raise Unteachable("no_steps", f"no step could be read in {_name(attempt)}", attempt.text)
        trace = _trace(problem, gold, attempt)
        dice = self._dice(problem, f"sample {attempt.sample}", remarks)
        return _spoilt_trace(trace, dice) if dice.random() < self.error_rate else trace

    async def chain(self, problem: Problem, remarks: Sequence[str] = ()) -> str:
        """The thought at length: a start that is given up, every step, a verification; raises as `thought` does."""
        gold = _teachable(problem)
        return long_chain(_setups(gold), [step.equation for step in gold.steps], problem.answer)

    async def refinement(
        self, problem: Problem, chain: str, errors: Sequence[Attempt], remarks: Sequence[str] = ()
    ) -> str:
        """The chain without its detours, worked out only where these errors show that the student needs it.

        Without errors the working stays. Raises `Unteachable` as `thought` and `rewritten` do.
        """
        gold, located = _teachable(problem), []
        for attempt in errors:
            if k := wrong_step_of(problem, attempt) if attempt.steps else None:
                mending = mend(gold, attempt.steps, k)
                located.append(LocatedError(step=k, cause=mending.cause, correction=mending.correction))
        return rewritten(chain, located if errors else None)

    def _dice(self, problem: Problem, what: str, remarks: Sequence[str]) -> random.Random:
        return random.Random("\n".join([str(self.seed), problem.id, what, str(len(remarks)), *remarks]))


def _setups(gold: GoldReading) -> tuple[Step, ...]:
    """The gold solution as a student should write it: each step sets up, its key comes to the result."""
    return tuple(Step(number=n, text=step.setup, key=step.key) for n, step in enumerate(gold.steps, start=1))


def _quoting(steps: Sequence[Step], problem: Problem, gold: GoldReading) -> tuple[Step, ...]:
    """Steps whose keys begin with what is done and the words that say so: `Subtract: Then loses 24; …`."""
    words = quotes(problem.question, [step.equation for step in gold.steps])
    return tuple(
        step.model_copy(update={"key": f"{_operation(worked)}: {quote}; {step.key}"}) if quote and step.key else step
        for step, worked, quote in zip(steps, gold.steps, words, strict=True)
    )


def _operation(step: WorkedStep) -> str:
    operators = step.equation.setup.operators if step.equation else ()
    return _WORDS[operators[0]].capitalize() if operators else "Take"


def _name(attempt: Attempt) -> str:
    return f"sample {attempt.sample} of problem {attempt.problem_id}"


def _teachable(problem: Problem) -> GoldReading:
    """The gold solution, once every equation in it holds and it reaches the gold answer."""
    gold = read_gold(problem)
    for line in _lines(problem.solution or ""):
        for equation in find_equations(line):
            if not equation.holds:
                raise Unteachable("false_equation", f"the gold solution of {problem.id} says {equation.text}", line)
    if gold.reached is None or not same_answer(_shown(gold.reached), problem.answer):
        reached = _shown(gold.reached) if gold.reached else "no number"
        detail = f"the gold solution of {problem.id} reaches {reached}, its answer is {problem.answer}"
        raise Unteachable("answer_mismatch", detail, problem.solution or "")
    return gold


def _shown(value: Expression) -> str:
    return show(value.shown)


def same_answer(one: str, other: str) -> bool:
    """Whether two answers agree: as exact numbers (`1,000.0` and `$1000`), else as text without case and spaces."""
    first, second = read_value(one), read_value(other)
    if first and second:
        return second.shown == first.shown
    return " ".join(one.casefold().split()) == " ".join(other.casefold().split())


def _generalized(steps: Iterable[WorkedStep]) -> str | None:
    """The operations in order, repeats in a row named once: `Add, then multiply.`"""
    operators = [operator for step in steps if step.equation for operator in step.equation.setup.operators]
    words = ", then ".join(_WORDS[operator] for operator, _ in groupby(operators))
    return f"{words[0].upper()}{words[1:]}." if words else None


def _trace(problem: Problem, gold: GoldReading, attempt: Attempt) -> CorrectionTrace:
    k = wrong_step_of(problem, attempt)
    if k is None and attempt.verdict.right:
        return CorrectionTrace(steps=attempt.steps, error=None, answer=attempt.answer or problem.answer)
    if k is None:
        raise Unteachable("unlocated", f"no step of {_name(attempt)} is wrong, but its answer is", attempt.text)
    if attempt.verdict.right:
        raise Unteachable("lucky_answer", f"step {k} of {_name(attempt)} is false, its answer right", attempt.text)
    mending = mend(gold, attempt.steps, k)
    keyed = any(step.key for step in attempt.steps)
    rest = [_as_student(step, number, keyed) for number, step in enumerate(mending.rest, start=k + 1)]
    error = LocatedError(step=k, cause=mending.cause, correction=mending.correction)
    return CorrectionTrace(steps=(*attempt.steps[:k], *rest), error=error, answer=problem.answer)


def _as_student(step: WorkedStep, number: int, keyed: bool) -> Step:
    return Step(number=number, text=step.setup, key=step.key) if keyed else Step(number=number, text=step.line)


def wrong_step_of(problem: Problem, attempt: Attempt) -> int | None:
    """`first_wrong_step` of an attempt; in one whose answer is right only a false equation counts."""
    if not attempt.verdict.right:
        return first_wrong_step(problem, attempt.steps)
    return next((n for n, step in enumerate(attempt.steps, start=1) if _false(read_step(step))), None)


def mend(gold: GoldReading, steps: Sequence[Step], k: int) -> Mending:
    """How step k should read and what follows.

    A miscalculation keeps the student's set-up if its true value is one that a gold step still to come reaches;
    else the step becomes the first gold step not yet done. Raises `Unteachable` 'no_equations'.
    """
    if not gold.computes:
        raise Unteachable("no_equations", "the gold solution computes nothing that could be read")
    done = _done(gold.steps, [read_step(step) for step in steps[: k - 1]])
    todo = [index for index in gold.computes if index not in done] or [gold.computes[-1]]
    return _slip(gold, done, todo, read_step(steps[k - 1])) or _wrong_setup(gold, done, todo[0])


def _slip(gold: GoldReading, done: set[int], todo: Sequence[int], reading: StepReading) -> Mending | None:
    false = reading.false_equation
    setup = reading.setup or (false.setup if false else None)
    target = next((index for index in todo if setup and _comes_to(gold.equation(index), setup.value)), None)
    if setup is None or target is None or not _false(reading):
        return None
    equation = gold.equation(target)
    right = equation.result.text
    cause = _miscalculated(false) if false else f"{setup.text} = {right}, not {reading.results[-1].text}"
    return Mending(spelled(setup, right), equation.result.shown, cause, _rest(gold, done, target))


def _comes_to(equation: Equation, value: Fraction) -> bool:
    return value in (equation.setup.value, equation.result.value, equation.result.shown)


def _miscalculated(equation: Equation) -> str:
    return f"{equation.setup.text} = {show(equation.setup.value)}, not {equation.result.text}"


def _wrong_setup(gold: GoldReading, done: set[int], target: int) -> Mending:
    equation = gold.equation(target)
    cause = f"wrong step, it should be {equation.setup.text}"
    correction = f"{equation.setup.text} = {equation.result.text}"
    return Mending(correction, equation.result.shown, cause, _rest(gold, done, target))


def _done(steps: Sequence[WorkedStep], right: Iterable[StepReading]) -> set[int]:
    """The gold steps that right steps reached, each value once, and those that only served such steps."""
    reached = Counter(value for reading in right for value in {result.shown for result in reading.results})
    done = set()
    for index, step in enumerate(steps):
        if step.value is not None and reached[step.value] > 0:
            reached[step.value] -= 1
            done.add(index)
    return _closed(steps, done)


def _closed(steps: Sequence[WorkedStep], done: set[int]) -> set[int]:
    """Add every step whose value is used later, but only by steps that are done."""
    done = set(done)
    for index in range(len(steps) - 1, -1, -1):
        users = [later for later in range(index + 1, len(steps)) if _uses(steps[later], steps[index])]
        if users and done.issuperset(users):
            done.add(index)
    return done


def _uses(later: WorkedStep, earlier: WorkedStep) -> bool:
    if later.equation is None or earlier.equation is None:
        return False
    return bool({earlier.equation.result.value, earlier.value} & set(later.equation.setup.operands))


def _rest(gold: GoldReading, done: set[int], target: int) -> tuple[WorkedStep, ...]:
    """The gold steps that remain once `target` is mended too; lines without an equation only after it."""
    closed = _closed(gold.steps, done | {target})
    indices = range(len(gold.steps))
    return tuple(gold.steps[i] for i in indices if i not in closed and (gold.steps[i].equation or i > target))


# ---------------------------------------------------------------- errors made on purpose


def _spoilt_thought(thought: Thought, dice: random.Random) -> Thought:
    """One result in one key changed, or the answer."""
    keyed = [index for index, step in enumerate(thought.steps) if step.key]
    if not keyed or dice.random() < 0.5:
        return thought.model_copy(update={"answer": _off(thought.answer, dice)})
    index = dice.choice(keyed)
    step = thought.steps[index]
    spoilt = step.model_copy(update={"key": _off(step.key or "", dice)})
    return thought.model_copy(update={"steps": (*thought.steps[:index], spoilt, *thought.steps[index + 1 :])})


def _spoilt_trace(trace: CorrectionTrace, dice: random.Random) -> CorrectionTrace:
    """The wrong step marked (a right attempt: a false alarm), a wrong correction, or a wrong answer."""
    others = [step.number for step in trace.steps if trace.error is None or step.number != trace.error.step]
    kind = dice.choice(["step", "correction", "answer"] if others and trace.error else ["step", "answer"])
    if kind == "correction" and trace.error:
        error = trace.error.model_copy(update={"correction": _off(trace.error.correction, dice)})
        return trace.model_copy(update={"error": error})
    if kind == "step" and others:
        alarm = trace.error or LocatedError(step=1, cause="wrong step", correction="it should be left out")
        return trace.model_copy(update={"error": alarm.model_copy(update={"step": dice.choice(others)})})
    return trace.model_copy(update={"answer": _off(trace.answer, dice)})


def _off(text: str, dice: random.Random) -> str:
    """The text with its last whole number off by 1 to 9; a text without one gets a number appended."""
    found = list(re.finditer(r"\d{1,18}", text))
    if not found:
        return f"{text} {dice.randint(1, 9)}"
    last = found[-1]
    return f"{text[: last.start()]}{int(last.group()) + dice.randint(1, 9)}{text[last.end() :]}"


# ---------------------------------------------------------------- the inspector


class ReferenceInspector:
    """Recomputes every equation, and compares answer, located step and correction with the gold solution."""

    async def inspect(
        self,
        problem: Problem,
        work: Thought | CorrectionTrace,
        attempt: Attempt | None = None,
        remarks: Sequence[str] = (),
    ) -> Inspection:
        """Accept the work or say what is wrong with it; without a gold solution only what can be recomputed counts."""
        found = _remarks_on_thought(problem, work) if isinstance(work, Thought) else ()
        if isinstance(work, CorrectionTrace):
            found = _remarks_on_trace(problem, work, attempt)
        found = (*found, *_remarks_on_answer(problem, work.answer))
        return Inspection(accepted=not found, remarks=found)


def _remarks_on_answer(problem: Problem, answer: str) -> tuple[str, ...]:
    right = same_answer(answer, problem.answer)
    return () if right else (f"The answer is {answer}, but the gold answer is {problem.answer}.",)


def _remarks_on_steps(steps: Iterable[Step]) -> tuple[str, ...]:
    remarks = []
    for step in steps:
        reading = read_step(step)
        false = [equation for equation in reading.equations if not equation.holds]
        remarks += [f"Step {step.number}: {_miscalculated(equation)}." for equation in false]
        if not false and reading.strays and reading.setup:
            remarks.append(f"Step {step.number}: the key does not end in the value of {reading.setup.text}.")
    return tuple(remarks)


def _remarks_on_thought(problem: Problem, thought: Thought) -> tuple[str, ...]:
    return (*_remarks_on_steps(thought.steps), *_remarks_on_arrival(problem, thought.steps))


def _remarks_on_arrival(problem: Problem, steps: Sequence[Step]) -> tuple[str, ...]:
    """The gold answer must be among the numbers of the last step that has any."""
    gold = read_value(problem.answer)
    readings = (read_step(step) for step in reversed(steps))
    last = next((reading for reading in readings if reading.numbers), None)
    if gold is None or last is None:
        return ()
    values = {value for number in (*last.numbers, *last.results) for value in (number.shown, number.value)}
    return () if gold.shown in values else (f"The steps do not reach the answer {problem.answer}.",)


def _remarks_on_trace(problem: Problem, trace: CorrectionTrace, attempt: Attempt | None) -> tuple[str, ...]:
    k = trace.error.step if trace.error else len(trace.steps)
    remarks = _remarks_on_steps(trace.steps[k:])
    if trace.error:
        correction = Step(number=k, text=trace.error.correction)
        remarks = (*_remarks_on_steps([correction]), *remarks)
    if attempt is None:
        return remarks
    copied = trace.steps[:k] == attempt.steps[:k] and (trace.error is not None or k == len(attempt.steps))
    copy = () if copied else ("The steps before the correction are not those of the solution under review.",)
    return (*copy, *_remarks_on_location(problem, trace.error, attempt), *remarks)


def _remarks_on_location(problem: Problem, error: LocatedError | None, attempt: Attempt) -> tuple[str, ...]:
    if not problem.solution:
        return ()
    marked, wrong = error.step if error else None, wrong_step_of(problem, attempt)
    if marked != wrong:
        return (f"{_which(marked)} is marked as the first wrong step, but it is {_which(wrong).lower()}.",)
    gold = read_gold(problem)
    if error is None or not gold.computes:
        return ()
    value = mend(gold, attempt.steps, error.step).value
    named = any(value in (number.shown, number.value) for number in find_numbers(error.correction))
    return () if named else (f"The correction of step {error.step} does not come to {show(value)}.",)


def _which(step: int | None) -> str:
    return f"Step {step}" if step else "No step"

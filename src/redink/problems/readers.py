"""How a row of each published set is read: its own field names to one `Item`, its gold in the checker's form.

A reader raises `BadInput` for a row of another shape and `RowFailure` for one that is as published but cannot serve.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from redink.failures import RowFailure, Unteachable
from redink.problems import worked
from redink.problems.golds import last_boxed, listed, plain_number, without_counted_thing
from redink.problems.jsonl import Line, split_final_answer

_CONTEST = re.compile(r"index\.php/(\d{4}_.+?)_Problems")
_DOCSTRING = re.compile(r'"""(?:.*?)"""\s*', re.DOTALL)
_EXPRESSION = re.compile(r"[-+*/()\d. ]+")
_WHOLE = re.compile(r"(\d+)\.0+(?!\d)")
_MISSPELT: Mapping[str, str] = {"Common-Divison": "Common-Division", "Substraction": "Subtraction"}
"""Types that SVAMP and ASDiv spell in two ways, one row each."""


@dataclass(frozen=True)
class Item:
    """What a row says, in the terms of `Problem`."""

    question: str
    answer: str
    solution: str | None = None
    subject: str = ""
    level: str | None = None
    entry: str | None = None


Reader = Callable[[Line], Item]


def gsm8k(line: Line) -> Item:
    """GSM8K: the gold after `####` without its commas, the solution with its `<<…>>` annotations."""
    text = line.required("answer")
    solution, answer = split_final_answer(text)
    if "####" not in text or not answer:
        raise line.bad("answer", "holds no final answer after ####.", "Is this a GSM8K file?")
    return Item(line.required("question"), answer, solution)


def gsm_symbolic(line: Line) -> Item:
    """GSM-Symbolic: as GSM8K; `entry` names the template (`original_id`) and which instance of it this is."""
    names = {"original_id": "template", "instance": "instance"}
    origin = {name: line.fields[field] for field, name in names.items() if line.fields.get(field) is not None}
    item = gsm8k(line)
    return Item(item.question, item.answer, item.solution, entry=json.dumps(origin) if origin else None)


def gsm_hard(line: Line) -> Item:
    """GSM-Hard: `target` is a float that a program computed; that program, without its docstring, is the solution."""
    code = _DOCSTRING.sub("", line.text("code") or "")
    return Item(line.required("input"), _number(line, "target"), code or None)


def math(line: Line) -> Item:
    r"""MATH and MATH-500: the gold is `answer` or, on the hub, the last `\boxed` of the solution.

    `Level ?` becomes no level, the number of MATH-500 becomes `Level 2`. In 17 of the 12,500 rows the solution ends in
    several boxes (`\boxed{-2}$ and $\boxed{1}`), of which the published gold is the last: left so, to compare.
    """
    solution, answer = line.required("solution"), line.text("answer")
    if answer is None and (answer := last_boxed(solution)) is None:
        raise line.bad("answer", "is missing, and the solution has no \\boxed{}.", "Is this a MATH file?")
    level = line.text("level", number=True)
    return Item(
        question=line.required("problem"),
        answer=answer,
        solution=solution,
        subject=line.text("subject") or line.text("type") or "",
        level=f"Level {level}" if level and level.isdigit() else level if level != "Level ?" else None,
    )


def contest(line: Line) -> Item:
    """AIME and AMC: a whole number, however it is padded or pointed; the contest of its address is the subject."""
    found = _CONTEST.search(line.text("url") or "")
    return Item(
        question=line.required("problem", "question"),
        answer=_number(line, "answer"),
        solution=line.text("solution") or None,
        subject=found[1].replace("_", " ") if found else "",
    )


def svamp(line: Line) -> Item:
    """SVAMP: body and question are one text, the equation becomes a worked solution."""
    answer = _number(line, "Answer")
    solution = _worked(line.text("Equation") or "", answer)
    return Item(_joined(line.required("Body"), line.required("Question")), answer, solution, _kind(line, "Type"))


def asdiv(line: Line) -> Item:
    """ASDiv: `9 (apples)` is 9, `5 (km)` is 5 km; the formula becomes a worked solution where it is one expression."""
    answer = without_counted_thing(line.required("answer"))
    solution = _worked(line.text("formula") or "", answer)
    return Item(
        _joined(line.required("body"), line.required("question")), answer, solution, _kind(line, "solution_type")
    )


def minerva_math(line: Line) -> Item:
    r"""Minerva's problems of MIT's courses: the gold is the box alone, its unit being named by the question."""
    solution = line.required("solution")
    answer = last_boxed(solution)
    if answer is None:
        raise line.bad("solution", "has no \\boxed{}.", "Is this a Minerva file?")
    return Item(line.required("problem"), answer, solution, line.text("type") or "")


def olympiadbench(line: Line) -> Item:
    """OlympiadBench, English text-only competition mathematics: several answers as a list, in any order.

    Unit, kind of answer and the tolerance that its own scorer allows (`error`: one row, 4.2 % within 0.1) are kept in
    `entry`. The checker does not apply that tolerance: it takes a rounded decimal by its own named switches.
    """
    several, kind, unit = line.flag("is_multiple_answer"), line.text("answer_type") or "", line.text("unit") or ""
    answers = [answer for answer in line.texts("final_answer") if answer]
    context, solutions = line.text("context"), line.texts("solution")
    facts = {"answer_type": kind, "several": several, "unit": unit, "error": line.text("error") or ""}
    return Item(
        question="\n\n".join(filter(None, (context, line.required("question")))),
        answer=listed(answers, several=several, interval=kind == "Interval", unit=unit),
        solution=next(iter(solutions), None) or None,
        subject=line.text("subfield") or "",
        entry=json.dumps({name: fact for name, fact in facts.items() if fact}),
    )


def several_answers(line: Line) -> str | None:
    """Why a row of ASDiv stays outside: 90 of its 2305 rows ask two things (`3 (h); 20 (min)`), as others leave out."""
    return "several_answers" if ";" in (line.text("answer") or "") else None


def _number(line: Line, field: str) -> str:
    number = plain_number(line.required(field, number=True))
    if number is None:
        raise line.bad(field, f"holds {line.fields[field]!r}, not a number.")
    return number


def _kind(line: Line, field: str) -> str:
    kind = line.text(field) or ""
    return _MISSPELT.get(kind, kind)


def _joined(body: str, question: str) -> str:
    """One text; a body that ends in a letter or a digit gets a full stop, as evaluations of SVAMP commonly do."""
    return f"{body}{'.' if body[-1].isalnum() else ''} {question}"


def _worked(formula: str, answer: str) -> str | None:
    """A formula as a worked solution in GSM8K's form if it is one expression in whole numbers of that value.

    Any other formula is given as it stands.
    """
    expression = _WHOLE.sub(r"\1", formula.partition("=")[0])
    if _EXPRESSION.fullmatch(expression) and "." not in expression:
        try:
            found = worked.expression(expression)
        except (Unteachable, IndexError, ValueError):
            return formula or None
        if found.answer == answer.partition(" ")[0]:
            return found.solution
    return formula or None


def refuse_empty_gold(item: Item) -> Item:
    r"""The item; raises `RowFailure` if its gold is empty (two rows of MATH end in `\boxed{}`)."""
    if not item.answer:
        raise RowFailure("empty_gold")
    return item

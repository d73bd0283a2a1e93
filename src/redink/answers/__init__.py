"""Is an answer right? Extraction, then an exact look, our own structural comparison, a killable worker last.

`ungradable` is kept apart from `wrong`: no answer, or one that the checker cannot read. `docs/answers.md` tells how
a verdict comes about.

    extract(text, switches=DEFAULT) -> Extraction(answer: str | None, origin: Origin)
    grade(reply, gold, switches=DEFAULT) -> (answer | None, Verdict)
    compare(pred, gold, switches=DEFAULT) -> Verdict                symmetric in its outcome, cached, any thread
    compare_many(pairs, switches=DEFAULT, advance=quiet) -> list[Verdict]    in order; each distinct pair once
    warm_up() -> bool                                                load sympy in a worker before it is needed
"""

from redink.answers.checking import compare, compare_async, compare_many, grade, warm_up
from redink.answers.extraction import Extraction, Origin, extract, extract_turns, final_number
from redink.answers.numbers import read_number
from redink.answers.switches import DEFAULT, Switches

__all__ = [
    "DEFAULT",
    "Extraction",
    "Origin",
    "Switches",
    "compare",
    "compare_async",
    "compare_many",
    "extract",
    "extract_turns",
    "final_number",
    "grade",
    "read_number",
    "warm_up",
]

"""The process in which sympy looks at what our own reader leaves open; started by `workers.py` as a script.

It loads sympy once, then answers each line of standard input ({"answer", "gold", "seconds", "bytes"}) with a line
({"outcome", "reason"}). Every question is worked on in a fork of its own, with a limit on memory and on processor
time, and killed when its time is over; so a hostile question costs its own verdict only. It imports nothing of
redink, and nothing it is sent is evaluated as code.
"""

from __future__ import annotations

import json
import os
import re
import resource
import select
import signal
import sys
import time
from typing import Any, BinaryIO

POINTS = (("17/13", "5/7", "23/11", "3/5"), ("2/9", "31/10", "7/8", "19/6"), ("41/12", "6/11", "13/3", "9/14"))
TOLERANCE = 1e-20
DIGITS = 40
MOST_NUMBERS = 24
_OTHER = str.maketrans("0123456789", "3456789124")
"""Another number of the same length for every number, never 0 or 1 for a single digit."""
_DERIVATIVE = re.compile(r"\\frac\s?\{\s?d")


def look(answer: str, gold: str) -> tuple[str, str]:
    """(outcome, reason) for two formulas: equal in value at several points, with the same variables, or not."""
    try:
        one, other = _parsed(answer), _parsed(gold)
    except Exception as failure:
        return "ungradable", f"cannot be read ({type(failure).__name__})"
    if one is None or other is None:
        return "ungradable", "cannot be read in full"
    try:
        return ("right", "") if _equal(one, other) else ("wrong", "")
    except Exception as failure:
        return "ungradable", f"cannot be decided ({type(failure).__name__})"


def _parsed(text: str) -> Any:
    """The sympy object of a formula, evaluated; None if the parser passed over one of its letters or numbers."""
    import sympy

    found = _read(text)
    if not isinstance(found, sympy.Expr | sympy.MatrixBase):
        return None
    if not _whole(text, found) or not _heeds_numbers(text, found):
        return None
    done = found.doit()
    return None if _hides_matrix(done) else done


def _hides_matrix(found: Any) -> bool:
    """Whether a matrix is left in a formula that is none: a power of a matrix has no value to compare."""
    import sympy

    if isinstance(found, sympy.MatrixBase):
        return False
    return any(isinstance(part, sympy.MatrixBase) for part in sympy.preorder_traversal(found))


def _read(text: str) -> Any:
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy

    looks = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False
    )
    return latex2sympy(text, normalization_config=looks, conversion_config=ConversionConfig(lowercase_symbols=False))


def _heeds_numbers(text: str, found: Any) -> bool:
    """Whether every number of the text counts: with another in its place the reader must read something else."""
    numbers = list(re.finditer(r"[0-9]+", text))
    if len(numbers) > MOST_NUMBERS:
        return False
    changed = (f"{text[: at.start()]}{at[0].translate(_OTHER)}{text[at.end() :]}" for at in numbers)
    return all(_reads_otherwise(other, found) for other in changed)


def _reads_otherwise(text: str, found: Any) -> bool:
    try:
        return bool(_read(text) != found)
    except Exception:
        return True


def _whole(text: str, found: Any) -> bool:
    """Whether every letter of the text stands in the expression, as a symbol or as what is bound."""
    import sympy

    plain = re.sub(r"\\(?:begin|end)\s?\{[a-z]+\}|\\[a-zA-Z]+", " ", text)
    letters = set(re.findall(r"[A-Za-z]", plain)) - set("dei")
    known = {str(symbol) for symbol in found.atoms(sympy.Symbol)}
    known |= {str(function.func) for function in found.atoms(sympy.core.function.AppliedUndef)}
    if "d" in known and _DERIVATIVE.search(text):
        return False
    return letters <= {letter for name in known for letter in name}


def _equal(one: Any, other: Any) -> bool:
    import sympy

    if isinstance(one, sympy.MatrixBase) or isinstance(other, sympy.MatrixBase):
        if one.free_symbols != other.free_symbols:
            raise ValueError("other variables")
        return one.shape == other.shape and all(map(_equal, one, other))
    symbols = sorted(one.free_symbols | other.free_symbols, key=str)
    return all(_agree(one, other, symbols, values) for values in POINTS)


def _agree(one: Any, other: Any, symbols: list[Any], values: tuple[str, ...]) -> bool:
    import sympy

    at = {symbol: sympy.Rational(values[place % len(values)]) + place for place, symbol in enumerate(symbols)}
    left, right = (complex_value(side.subs(at)) for side in (one, other))
    return bool(abs(left - right) <= TOLERANCE * max(1, abs(left), abs(right)))


def complex_value(expression: Any) -> Any:
    """The number an expression without variables comes to; raises `ValueError` if it does not come to one."""
    value = expression.evalf(DIGITS)
    if not value.is_number or value.has(*_not_finite()) or value.atoms(*_unfinished()):
        raise ValueError("not a number")
    return value


def _not_finite() -> tuple[Any, ...]:
    import sympy

    return sympy.nan, sympy.zoo, sympy.oo, -sympy.oo


def _unfinished() -> tuple[Any, ...]:
    import sympy

    return sympy.Integral, sympy.Limit, sympy.Derivative, sympy.Sum, sympy.Product


def _limited(seconds: float, size: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer_in_fork(question: dict[str, Any], into: int) -> None:
    """The life of one fork: limits, the look, one line, the end."""
    try:
        _limited(question["seconds"], question["bytes"])
        outcome, reason = look(question["answer"], question["gold"])
    except MemoryError:
        outcome, reason = "ungradable", "out of memory"
    except BaseException as failure:
        outcome, reason = "ungradable", type(failure).__name__
    os.write(into, json.dumps({"outcome": outcome, "reason": reason[:200]}).encode())
    os._exit(0)


def answer(question: dict[str, Any]) -> dict[str, str]:
    """Fork, wait as long as the question may take, kill what has not ended."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        _answer_in_fork(question, into)
    os.close(into)
    data = _received(out, question["seconds"])
    os.close(out)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if data is None:
        return {"outcome": "ungradable", "reason": f"no decision within {question['seconds']:g} s"}
    found: dict[str, str] = json.loads(data) if data else {"outcome": "ungradable", "reason": "out of memory or time"}
    return found


def _received(out: int, seconds: float) -> bytes | None:
    deadline, data = time.monotonic() + seconds, b""
    while True:
        ready, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(out, 4096)
        if not chunk:
            return data
        data += chunk


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer every line until there are no more; the first line out says that sympy is loaded."""
    import latex2sympy2_extended  # noqa: F401
    import sympy  # noqa: F401

    look("\\int_0^1 x dx", "\\frac{1}{2}")
    answers.write(b'{"ready": true}\n')
    answers.flush()
    for line in iter(questions.readline, b""):
        answers.write(json.dumps(answer(json.loads(line))).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)

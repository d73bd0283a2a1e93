r"""Answer checking beside math-verify: speed, and false verdicts, on pairs made from the real sets.

    python -m benchmarks.answers --data-dir ../shared/data [--quick] [--pairs 20000] [--fuzz 1000000] [--output FILE]

Pairs. Half come from GSM8K-like golds (GSM8K, GSM-Hard, SVAMP, ASDiv), half from MATH-like ones (MATH, MATH500,
OlympiadBench, Minerva). Half of each are the gold written otherwise (thousands separators, money, \dfrac, spaces, a
decimal for a fraction, …) and are right by construction. The others are near misses (a digit changed, a sign, a
place, another problem's gold), kept only where an oracle that is not ours says that the values differ: exact fractions
for plain numbers, else latex2sympy and numbers put in for the variables. Contested writings (percent, units,
rounding) are left out.

Speed. Blocks of pairs, the two arms in turn on each block, in one process: ours with an empty cache (`compare_many`),
math-verify with its own time limits in the main thread. A first block warms both up. The figure is the median over
blocks of the ratio of rates. Every pair on which the arms differ, or ours differs from the label, is listed in FILE.

Fuzz. Mutated golds, strings of LaTeX parts, noise and formulas for a worker go through `extract` and `compare` one by
one: nothing may be raised, take 5 s, or lead to more than 2 GB in this process or any worker. A million strings, by
two processes at once, each going on from its tally file (beside FILE) if it is started again:

    python -m benchmarks.answers --data-dir ../shared/data --pairs 0 --fuzz 1000000 --share 1/2 &
    python -m benchmarks.answers --data-dir ../shared/data --pairs 0 --fuzz 1000000 --share 2/2
"""

from __future__ import annotations

import argparse
import json
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks import answers_fuzz
from redink.answers import compare_many
from redink.evaluation.statistics import proportion
from redink.progress import progress
from redink.rows import read_json_lines, write_text

BLOCK = 200
ROUNDING = Fraction(1, 1000)
QUICK_PAIRS, QUICK_FUZZ = 1_600, 4_000
GSM_FILES = {
    "gsm8k_train": "answer",
    "gsm8k_test": "answer",
    "svamp": "Answer",
    "asdiv": "answer",
    "gsm_hard": "target",
}
MATH_FILES = {"math_train": "answer", "math_test": "answer", "math500": "answer", "olympiadbench": "final_answer"}


@dataclass(frozen=True)
class Pair:
    """An answer and a gold answer; `right` is known from how the pair was made."""

    pred: str
    gold: str
    right: bool
    made: str


# golds


def read_golds(folder: Path, files: dict[str, str]) -> list[str]:
    """The distinct golds of these files, in their order, without the unit of ASDiv and the solution of GSM8K."""
    texts = (
        as_text(row[field]) for name, field in files.items() for _, row in read_json_lines(folder / f"{name}.jsonl")
    )
    return list(dict.fromkeys(filter(None, texts)))


def as_text(value: Any) -> str:
    """One gold as text: `… #### 1,200` → 1,200; 9 (apples) → 9; 145.0 → 145; ["$2$"] → 2."""
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).rpartition("####")[2]
    return re.sub(r"\s\([^()]*\)$", "", text.strip().strip("$")).strip()


def plain_number(text: str) -> Fraction | None:
    """The value of a plain number, its thousands separators of the right length: the oracle for plain numbers."""
    if not re.fullmatch(r"-?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?", text):
        return None
    return Fraction(text.replace(",", ""))


# right by construction

Variant = Callable[[str, random.Random], str | None]


def _number(write: Callable[[Fraction, random.Random], str | None]) -> Variant:
    def variant(gold: str, rng: random.Random) -> str | None:
        value = plain_number(gold)
        return None if value is None else write(value, rng)

    return variant


def _decimal(value: Fraction) -> str:
    """A terminating decimal written out; callers make sure that it terminates."""
    places = next(n for n in range(40) if (value * 10**n).denominator == 1)
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"


def _grouped(value: Fraction, comma: str) -> str:
    whole, _, rest = _decimal(value).partition(".")
    return f"{int(whole):,}".replace(",", comma) + (f".{rest}" if rest else "") if abs(value) >= 1 else _decimal(value)


def _times(value: Fraction, rng: random.Random) -> tuple[Fraction, int]:
    by = rng.choice([2, 3, 4, 5, 7, 10])
    return value * by, by


def _as_quotient(value: Fraction, rng: random.Random) -> str | None:
    above, by = _times(value, rng)
    return f"{above}/{by}" if above.denominator == 1 else None


def _as_frac(value: Fraction, rng: random.Random) -> str | None:
    above, by = _times(abs(value), rng)
    return f"{'-' if value < 0 else ''}\\frac{{{above}}}{{{by}}}" if above.denominator == 1 else None


def _with_zeros(number: str, count: int) -> str:
    return number + ("" if "." in number else ".") + "0" * count


NUMBER_VARIANTS: dict[str, Variant] = {
    "thousands": _number(lambda value, rng: _grouped(value, ",")),
    "latex thousands": _number(lambda value, rng: _grouped(value, "{,}")),
    "thin-space thousands": _number(lambda value, rng: _grouped(value, ",\\!")),
    "plain": _number(lambda value, rng: _decimal(value)),
    "trailing zeros": _number(lambda value, rng: _with_zeros(_decimal(value), rng.randint(1, 3))),
    "money": _number(lambda value, rng: f"\\${_grouped(value, ',')}" if value >= 0 else None),
    "named": _number(lambda value, rng: f"{rng.choice('xny')} = {_decimal(value)}"),
    "math mode": _number(lambda value, rng: f"${_decimal(value)}$"),
    "full stop": _number(lambda value, rng: f"{_decimal(value)}." if value.denominator == 1 else None),
    "quotient": _number(_as_quotient),
    "frac": _number(_as_frac),
    "boxed text": _number(lambda value, rng: f"\\text{{{_decimal(value)}}}"),
    "spaces": _number(lambda value, rng: f"  {_decimal(value)} "),
}  # fmt: skip


def _replaced(old: str, new: str) -> Variant:
    return lambda gold, rng: gold.replace(old, new) if old in gold else None


def _substituted(pattern: str, by: str) -> Variant:
    return lambda gold, rng: re.sub(pattern, by, gold) if re.search(pattern, gold) else None


def _small_fraction(gold: str, rng: random.Random) -> str | None:
    found = re.fullmatch(r"(-?)\\d?frac\{(\d+)\}\{(\d+)\}", gold)
    return f"{found[1]}{found[2]}/{found[3]}" if found else None


def _fraction_as_decimal(gold: str, rng: random.Random) -> str | None:
    found = re.fullmatch(r"(-?)\\d?frac\{(\d+)\}\{(\d+)\}", gold)
    if found is None or int(found[3]) == 0:
        return None
    value = Fraction(int(found[2]), int(found[3]))
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return found[1] + _decimal(value) if rest == 1 else None


def _swapped_sum(gold: str, rng: random.Random) -> str | None:
    """A + B as B + A, where neither side holds a bracket, a relation or another sum at its top."""
    found = re.fullmatch(r"([^-+=<>(),\[\]&]+)\+([^-+=<>(),\[\]&]+)", gold)
    if (
        not found
        or found[1].count("{") != found[1].count("}")
        or any(word in gold for word in ("\\text", "\\in", "\\le", "\\ge", "\\cup"))
    ):
        return None
    return f"{found[2].strip()} + {found[1].strip()}"


def _spaced(gold: str, rng: random.Random) -> str | None:
    if "\\text" in gold or not re.search(r"[+=,]", gold):
        return None
    return re.sub(r"\s*([+=])\s*", r" \1 ", gold)


MATH_VARIANTS: dict[str, Variant] = {
    "dfrac": _replaced("\\frac", "\\dfrac"),
    "tfrac": _replaced("\\frac", "\\tfrac"),
    "a/b": _small_fraction,
    "decimal": _fraction_as_decimal,
    "left right": _substituted(r"\\(?:left|right)(?![a-z])", ""),
    "math mode": lambda gold, rng: f"${gold}$" if "$" not in gold else None,
    "spaced": _spaced,
    "sum swapped": _swapped_sum,
    "as it is": lambda gold, rng: gold,
    "full stop": lambda gold, rng: f"${gold}$." if "$" not in gold and "\\text" not in gold else None,
    "display style": lambda gold, rng: f"\\displaystyle {gold}" if "\\frac" in gold else None,
    "pmatrix": _replaced("pmatrix", "bmatrix"),
    "cdot": _substituted(r"(?<=\d)\\sqrt", r" \\cdot \\sqrt"),
    "braces": _substituted(r"\^(\d)(?!\d)", r"^{\1}"),
}  # fmt: skip


# near misses, and the oracle that says that values differ


def _digit_changed(gold: str, rng: random.Random) -> str | None:
    places = [match.start() for match in re.finditer(r"\d", gold)]
    if not places:
        return None
    place = rng.choice(places)
    other = rng.choice([digit for digit in "123456789" if digit != gold[place]])
    return gold[:place] + other + gold[place + 1 :]


def _sign_flipped(gold: str, rng: random.Random) -> str | None:
    if gold.startswith("-"):
        return gold[1:]
    return f"-{gold}" if re.match(r"\d|\\frac|\\sqrt", gold) else None


def _number_moved(gold: str, rng: random.Random) -> str | None:
    value = plain_number(gold)
    if value is None:
        return None
    delta = rng.choice([Fraction(1), Fraction(-1), Fraction(1, 2), Fraction(1, 100), Fraction(-10)])
    return _decimal(rng.choice([value + delta, value * 10, value / 10, -value, value * 100]))


def _digits_dropped(gold: str, rng: random.Random) -> str | None:
    places = [match.start() for match in re.finditer(r"\d(?=\d)", gold)]
    place = rng.choice(places) if places else None
    return None if place is None else gold[:place] + gold[place + 1 :]


def _frac_turned(gold: str, rng: random.Random) -> str | None:
    turned = re.sub(r"frac\{(\d+)\}\{(\d+)\}", r"frac{\2}{\1}", gold, count=1)
    return turned if turned != gold else None


def _term_sign(gold: str, rng: random.Random) -> str | None:
    places = [match.start() for match in re.finditer(r"(?<=[\w})])\s*[-+]", gold)]
    if not places or "\\text" in gold:
        return None
    place = rng.choice(places)
    found = re.match(r"\s*[-+]", gold[place:])
    assert found is not None
    sign = "+" if "-" in found[0] else "-"
    return gold[:place] + found[0][:-1] + sign + gold[place + len(found[0]) :]


NUMBER_MISSES: dict[str, Variant] = {
    "value moved": _number_moved, "digit changed": _digit_changed, "digit dropped": _digits_dropped,
    "sign": _sign_flipped,
}  # fmt: skip
MATH_MISSES: dict[str, Variant] = {
    "digit changed": _digit_changed, "sign": _sign_flipped, "frac turned": _frac_turned, "term's sign": _term_sign,
    "digit dropped": _digits_dropped,
}  # fmt: skip


def differ(first: str, second: str) -> bool:
    """True only if an oracle that is not ours is sure that the values differ, and by more than a rounding."""
    one, other = plain_number(first), plain_number(second)
    if one is not None and other is not None:
        whole = one.denominator == other.denominator == 1
        return one != other if whole else abs(one - other) > ROUNDING * max(abs(one), abs(other))
    values = [list_of_numbers(text) for text in (first, second)]
    if all(value is not None for value in values):
        return sorted(values[0] or ()) != sorted(values[1] or ())
    return differ_in_numbers(first, second)


def list_of_numbers(text: str) -> list[Fraction] | None:
    """The numbers of a bracketed or bare list of two or more plain numbers, else None."""
    inner = re.sub(r"\\(?:left|right)|\\[{}]|\s", "", text).strip("()[]{}")
    values = [plain_number(part) for part in inner.split(",")]
    return [value for value in values if value is not None] if len(values) > 1 and None not in values else None


def differ_in_numbers(first: str, second: str) -> bool:
    """latex2sympy's reading of both, with the same random numbers for the variables, differs by more than 0.1 %."""
    if any(
        word in text
        for text in (first, second)
        for word in ("\\text", "\\%", "%", "_", "^\\circ", "=", "\\in", "<", ">")
    ):
        return False
    try:
        one, other = _evaluated(first), _evaluated(second)
    except Exception:
        return False
    if one is None or other is None:
        return False
    return all(abs(a - b) > 1e-3 * max(1e-6, abs(a), abs(b)) for a, b in zip(one, other, strict=True))


def _evaluated(text: str) -> list[complex] | None:
    from latex2sympy2_extended import latex2sympy

    if re.search(r"\^\{?\d{3}|\d{12}|!", text) or len(text) > 120:
        return None
    read = latex2sympy(text.replace("\\dfrac", "\\frac").replace("\\left", "").replace("\\right", ""))
    values = []
    for seed in (0.7316, 1.4142, 2.2361):
        put_in = {name: seed * (1 + index / 3) for index, name in enumerate(sorted(read.free_symbols, key=str))}
        value = complex(read.evalf(30, subs=put_in))
        if not abs(value) <= 1e12:
            return None
        values.append(value)
    return values


# pairs


def make_pairs(
    golds: Sequence[str], count: int, right: dict[str, Variant], wrong: dict[str, Variant], rng: random.Random
) -> list[Pair]:
    """`count` distinct pairs, right ones and near misses in turn."""
    pairs: dict[tuple[str, str], Pair] = {}
    makers = [_right_pairs(golds, right, rng), _wrong_pairs(golds, wrong, rng)]
    with progress("pairs", count, "pairs") as advance:
        while len(pairs) < count:
            before = len(pairs)
            pair = next(makers[len(pairs) % 2])
            pairs.setdefault((pair.pred, pair.gold), pair)
            advance(len(pairs) - before)
    return list(pairs.values())


def _right_pairs(golds: Sequence[str], variants: dict[str, Variant], rng: random.Random) -> Iterator[Pair]:
    while True:
        gold, (name, variant) = rng.choice(golds), rng.choice(list(variants.items()))
        pred = variant(gold, rng)
        if pred is not None:
            yield Pair(pred, gold, True, name)


def _wrong_pairs(golds: Sequence[str], variants: dict[str, Variant], rng: random.Random) -> Iterator[Pair]:
    while True:
        gold, (name, variant) = rng.choice(golds), rng.choice([*variants.items(), ("another gold", _another(golds))])
        pred = variant(gold, rng)
        if pred is not None and differ(pred, gold):
            yield Pair(pred, gold, False, name)


def _another(golds: Sequence[str]) -> Variant:
    return lambda gold, rng: rng.choice(golds)


# the two arms

Verdicts = list[str]


def ours(pairs: Sequence[Pair]) -> Verdicts:
    """right, wrong or ungradable for each pair, in one batch."""
    return [verdict.outcome for verdict in compare_many([(pair.pred, pair.gold) for pair in pairs])]


def peers(pairs: Sequence[Pair]) -> Verdicts:
    """math-verify as its README calls it: both sides parsed, then verified; nothing parsed is ungradable."""
    return [_peer(pair) for pair in pairs]


def _peer(pair: Pair) -> str:
    from math_verify import parse, verify

    try:
        gold, pred = (parse(_in_math_mode(text)) for text in (pair.gold, pair.pred))
        if not gold or not pred:
            return "ungradable"
        return "right" if verify(gold, pred) else "wrong"
    except Exception:
        return "ungradable"


def _in_math_mode(text: str) -> str:
    return text if re.search(r"(?<!\\)\$", text) else f"$\\boxed{{{text}}}$"


@dataclass(frozen=True)
class Timed:
    """What both arms said on the same pairs, and the seconds each took, block by block."""

    pairs: list[Pair]
    ours: Verdicts
    peers: Verdicts
    seconds: list[tuple[float, float]]

    @property
    def speedup(self) -> float:
        """Median over blocks of math-verify's seconds by ours."""
        return statistics.median(peer / own for own, peer in self.seconds)


def measure(label: str, pairs: Sequence[Pair]) -> Timed:
    """Both arms in turn on each block; the first block is measured again at the end, its first time dropped."""
    blocks = [list(pairs[start : start + BLOCK]) for start in range(0, len(pairs), BLOCK)]
    warm = [Pair(f"{pair.pred} ", pair.gold, pair.right, pair.made) for pair in blocks[0]]
    ours(warm)
    peers(warm)
    said: tuple[Verdicts, Verdicts] = ([], [])
    seconds = []
    with progress(label, len(pairs), "pairs") as advance:
        for number, block in enumerate(blocks):
            took = {}
            for arm in (0, 1) if number % 2 else (1, 0):
                start = time.perf_counter()
                said[arm].extend((ours, peers)[arm](block))
                took[arm] = time.perf_counter() - start
            seconds.append((took[0], took[1]))
            advance(len(block))
    return Timed(list(pairs), said[0], said[1], seconds)


# report


def report(measured: dict[str, Timed], output: Path) -> None:
    """Print the figures and write every disagreement."""
    for name, goal in (("gsm8k", 20), ("math", 5)):
        timed = measured[name]
        own, peer = (sum(arm) for arm in zip(*timed.seconds, strict=True))
        n = len(timed.pairs)
        print(f"{name}: {n} pairs, {n / own:.0f} verdicts/s against {n / peer:.0f}, in the same process")
        print(f"{name}: ungradable {timed.ours.count('ungradable')} against {timed.peers.count('ungradable')}")
        print(f"figure speedup_{name} = {timed.speedup:.1f} x (goal >= {goal})")
    pairs = [pair for timed in measured.values() for pair in timed.pairs]
    arms = {
        "": [said for timed in measured.values() for said in timed.ours],
        "math_verify_": [said for timed in measured.values() for said in timed.peers],
    }
    for prefix, said in arms.items():
        _print_false(
            f"{prefix}false_right",
            "right",
            [s for s, pair in zip(said, pairs, strict=True) if not pair.right],
            bool(prefix),
        )
        _print_false(
            f"{prefix}false_wrong",
            "wrong",
            [s for s, pair in zip(said, pairs, strict=True) if pair.right],
            bool(prefix),
        )
    rows = [
        {**asdict(pair), "ours": own, "math_verify": peer}
        for pair, own, peer in zip(pairs, arms[""], arms["math_verify_"], strict=True)
        if own != peer or own != ("right" if pair.right else "wrong")
    ]
    write_text(output, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"figure agreement = {100 * sum(map(str.__eq__, arms[''], arms['math_verify_'])) / len(pairs):.2f} %")
    print(f"{len(rows)} disagreements in {output}; how the pair was made, ours/math-verify, pairs:")
    kinds = Counter((str(row["made"]), f"{row['ours']}/{row['math_verify']}") for row in rows)
    for (made, said_of_it), count in kinds.most_common():
        print(f"  {made:22} {said_of_it:22} {count}")


def _print_false(name: str, outcome: str, said: Sequence[str], peer: bool) -> None:
    share = proportion(said.count(outcome), len(said))
    low, high = 100 * (share.low or 0), 100 * (share.high or 0)
    goal = "" if peer else " (goal <= 0)"
    print(f"{name}: {said.count(outcome)} of {len(said)} pairs, 95 % interval [{low:.3f}, {high:.3f}] %")
    print(f"figure {name} = {said.count(outcome)} pairs{goal}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Answer checking beside math-verify.")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder with the real sets")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_PAIRS} pairs and {QUICK_FUZZ} fuzzed strings")
    parser.add_argument("--pairs", type=int, help="pairs in all (default 20000)")
    parser.add_argument("--fuzz", type=int, help="fuzzed strings (default 100000); 0 for none")
    parser.add_argument("--share", type=share, default=(1, 1), help="fuzz only this share of them, e.g. 1/2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/answers.disagreements.jsonl"))
    options = parser.parse_args(arguments)
    count = options.pairs if options.pairs is not None else QUICK_PAIRS if options.quick else 20_000
    strings = options.fuzz if options.fuzz is not None else QUICK_FUZZ if options.quick else 100_000
    numbers = [gold for gold in read_golds(options.data_dir, GSM_FILES) if plain_number(gold) is not None]
    expressions = read_golds(options.data_dir, MATH_FILES)
    rng = random.Random(options.seed)
    if count:
        made = {
            "gsm8k": make_pairs(numbers, count // 2, NUMBER_VARIANTS, NUMBER_MISSES, rng),
            "math": make_pairs(expressions, count // 2, MATH_VARIANTS, MATH_MISSES, rng),
        }
        report({name: measure(name, pairs) for name, pairs in made.items()}, options.output)
    if strings:
        file = answers_fuzz.path(options.output.parent, options.share)
        keep = None if options.quick else file
        tally = answers_fuzz.fuzz(expressions, strings, options.seed, options.share, keep)
        answers_fuzz.report(options.output.parent, tally)


def share(text: str) -> tuple[int, int]:
    """1/2 is the first of two shares."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError("a share is 1/2 or 2/2, for example")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    main()

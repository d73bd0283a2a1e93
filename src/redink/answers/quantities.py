"""Numbers with units, read exactly: "3.5 km/h", "9.8 m s^{-2}", "$12.50", "45 minutes", "9 (apples)".

A unit is a factor and the powers of its base units. Where a conversion is no exact factor (degrees Celsius, radians,
calendar years) the unit is a base of its own, and comparing it with another kind is left undecided.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

LONGEST = 200
LARGEST_EXPONENT = 400
LARGEST_POWER = 12

_LATEX = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"\\(?:text|mathrm|mathbf|textbf|rm|mbox|operatorname)\s*\{([^{}]*)\}", r" \1 "),
        (r"\\[dtc]?frac\s*\{([-+]?[0-9]+)\}\s*\{([0-9]+)\}", r" \1/\2 "),
        (r"\\[dtc]?frac\s*([0-9])\s*([0-9])", r" \1/\2 "),
        (r"\^\s*\{?\s*\\circ\s*\}?|\\degree\b|\\deg\b", "°"),
        (r"\\(?:times|cdot)\b", "·"),
        (r"\\mu\b", "µ"),
        (r"\\Omega\b", "Ω"),
        (r"\\pounds\b", "£"),
        (r"\\(?:left|right|displaystyle)\b", ""),
        (r"\\!|\{,\}", lambda found: "," if found[0] == "{,}" else ""),
        (r"\\[,;: ]|~|\\quad\b", " "),
        (r"\\([$%])", r"\1"),
        (r"\^\s*\{\s*([-+]?[0-9]+)\s*\}", r"^\1"),
        (r"[−–]", "-"),
        (r"²", "^2"),
        (r"³", "^3"),
        (r"[×*]", "·"),
    )
)
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\s*(?P<money>[$€£¥]?)\s*(?P<inner>[-+]?)\s*"
    r"(?:(?P<mixed>[0-9]{1,9})\s+(?=[0-9]+/[0-9]))?"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)?(?P<point>\.[0-9]+)?(?:/(?P<under>[0-9]+))?"
    r"(?:(?:\s*·\s*10\s*\^\s*|[eE])(?P<power>[-+]?[0-9]{1,4}))?"
)
_FACTOR = re.compile(r"([°µ]?[^\W\d_]+|[°%$€£¥¢])(?:\^?([-+]?[0-9]{1,2}))?")
_BARE_POWER = re.compile(r"^([-+]?)\s*10\s*\^(?=\s*[-+]?[0-9])")
_HYPHEN = re.compile(r"-(?![0-9])")
_DIVIDES = re.compile(r"\s*(?:/|\bper\b)\s*")

Powers = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Unit:
    """A unit: `factor` of its base units, each to its power; `known` is False for words such as "apples"."""

    factor: Fraction = Fraction(1)
    powers: Powers = ()
    known: bool = True


PERCENT = Unit(Fraction(1, 100))


@dataclass(frozen=True)
class Quantity:
    """A number, whether it is written as a decimal, and its unit (None: none was written)."""

    number: Fraction
    decimal: bool
    unit: Unit | None = field(default=None)

    @property
    def value(self) -> Fraction:
        """The number in base units."""
        return self.number * (self.unit.factor if self.unit else 1)


def read_quantity(text: str) -> Quantity | None:
    """The quantity that the whole text states, or None; digits, exponents and length are bounded before any sum.

    >>> read_quantity("36 km/h").value
    Fraction(10, 1)
    >>> read_quantity("about 3") is None
    True
    """
    if len(text) > LONGEST:
        return None
    plain = _last_side(_plain(text))
    found = _NUMBER.match(plain)
    if found is None or not (found["whole"] or found["point"]):
        return None
    number = _value(found)
    multiple, after = _multiple(plain[found.end() :])
    rest = (found["money"] + " " + after).strip().rstrip(".")
    unit = read_unit(rest) if rest else None
    if number is None or (rest and unit is None):
        return None
    return Quantity(number * multiple, bool(found["point"] or found["power"]), unit)


def read_unit(text: str) -> Unit | None:
    """The unit that a text such as "kg m/s^2", "per hour" or "(apples)" names; None if it cannot be read.

    What follows a slash is below it to the end: J/kg K is J/(kg K).
    """
    text = text.strip()
    if text.startswith("(") and text.endswith(")") and text.count("(") == 1:
        text = text[1:-1]
    above, *below = _DIVIDES.split(text.replace("(", " ").replace(")", " "))
    factor, powers, known = Fraction(1), Counter[str](), True
    for part, sign in ((above, 1), *((part, -1) for part in below)):
        if sign < 0 and not part.strip():
            return None
        read = _product(part, sign)
        if read is None:
            return None
        factor *= read.factor
        known &= read.known
        for name, power in read.powers:
            powers[name] += power
    return Unit(factor, tuple(sorted((name, power) for name, power in powers.items() if power)), known)


def _plain(text: str) -> str:
    for pattern, by in _LATEX:
        text = pattern.sub(by, text)
    text = text.strip()
    inner = text[1:-1] if text.startswith("$") and text.endswith("$") and len(text) > 1 else text
    inner = _BARE_POWER.sub(r"\1 1·10^", inner)
    return inner.replace("{", " ").replace("}", " ").replace("\\", " \\").strip()


def _last_side(text: str) -> str:
    """`v = 3 m/s` states 3 m/s."""
    return re.split(r"[=≈]|\\approx", text)[-1].strip()


def _value(found: re.Match[str]) -> Fraction | None:
    power = int(found["power"] or 0)
    if abs(power) > LARGEST_EXPONENT or (found["under"] and int(found["under"]) == 0):
        return None
    value = Fraction((found["whole"] or "0").replace(",", "") + (found["point"] or ""))
    value = value / int(found["under"] or 1) * Fraction(10) ** power + int(found["mixed"] or 0)
    return -value if "-" in (found["sign"], found["inner"]) else value


def _multiple(text: str) -> tuple[int, str]:
    """The multiples that a text begins with, such as "hundred thousand", as a factor, and what comes after them."""
    factor = 1
    for word in text.split()[:2]:
        if word.lower() not in _MULTIPLES:
            break
        factor *= _MULTIPLES[word.lower()]
        text = text.split(word, 1)[1]
    return factor, text


def _product(text: str, sign: int) -> Unit | None:
    """The product of the factors of one side of a slash."""
    words = _HYPHEN.sub(" ", text.replace("·", " ")).split()
    joined = re.sub(r"\s*\^\s*", "^", " ".join(words))
    whole = _UNITS.get(joined.lower()) if " " in joined else None
    if whole is not None:
        return _raised(whole, sign)
    factor, powers, known, position = Fraction(1), Counter[str](), True, 0
    while position < len(joined):
        found = _FACTOR.match(joined, position)
        if found is None:
            return None
        if not 0 < abs(_power(found)) <= LARGEST_POWER or _is_no_unit(found[1]):
            return None
        one = _raised(_factor(found[1]), sign * _power(found))
        factor *= one.factor
        known &= one.known
        for name, power in one.powers:
            powers[name] += power
        position = found.end() + (joined[found.end() : found.end() + 1] == " ")
    return Unit(factor, tuple(sorted(powers.items())), known)


def _power(found: re.Match[str]) -> int:
    return int(found[2] or 1)


def _raised(unit: Unit, power: int) -> Unit:
    powers = tuple((name, exponent * power) for name, exponent in unit.powers)
    return Unit(unit.factor**power, powers, unit.known)


def _factor(symbol: str) -> Unit:
    """One unit by symbol (case counts) or by name, singular or plural, with an SI prefix; else a word of its own."""
    if symbol in _UNITS:
        return _UNITS[symbol]
    for prefix, scale in _PREFIXES.items():
        if symbol.startswith(prefix) and symbol[len(prefix) :] in _PREFIXABLE:
            return _scaled(_UNITS[symbol[len(prefix) :]], scale)
    name = singular(symbol.lower())
    if name in _UNITS and len(name) > 1:
        return _UNITS[name]
    for prefix, scale in _PREFIX_NAMES.items():
        if name.startswith(prefix) and name[len(prefix) :] in _UNITS and len(name) - len(prefix) > 3:
            return _scaled(_UNITS[name[len(prefix) :]], scale)
    return Unit(powers=((name, 1),), known=False)


def _is_no_unit(symbol: str) -> bool:
    """Words that change the number, and lone letters that are variables."""
    return symbol.lower() in _OPERATIONS or symbol.lower() in _MULTIPLES or (len(symbol) == 1 and symbol not in _UNITS)


def _scaled(unit: Unit, scale: Fraction) -> Unit:
    return Unit(unit.factor * scale, unit.powers)


def singular(word: str) -> str:
    """The singular of a regular English plural: "apples" → "apple", "boxes" → "box", "inches" → "inch"."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3 else word


_OPERATIONS = frozenset({
    "squared", "cubed", "plus", "minus", "times", "divided", "over", "or", "and", "to", "not", "pi", "sqrt", "root",
    "log", "ln", "sin", "cos", "tan", "exp", "mod", "factorial", "choose", "half", "third", "quarter", "halves",
    "thirds", "quarters", "dots", "ldots", "infinity", "base",
})  # fmt: skip
_MULTIPLES = {
    "dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12,
}  # fmt: skip
_PREFIXES = {
    symbol: Fraction(10) ** power
    for symbol, power in (
        ("da", 1), ("f", -15), ("p", -12), ("n", -9), ("µ", -6), ("μ", -6), ("u", -6), ("m", -3), ("c", -2),
        ("d", -1), ("h", 2), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15),
    )
}  # fmt: skip
_PREFIX_NAMES = {
    name: Fraction(10) ** power
    for name, power in (
        ("nano", -9), ("micro", -6), ("milli", -3), ("centi", -2), ("deci", -1), ("kilo", 3), ("mega", 6), ("giga", 9),
    )
}  # fmt: skip
_PREFIXABLE = frozenset({
    "m", "g", "s", "A", "K", "mol", "cd", "Hz", "N", "Pa", "J", "W", "C", "V", "F", "Ω", "T", "Wb", "H", "L", "l",
    "eV", "bar", "cal", "pc", "M",
})  # fmt: skip
# names = factor base^power …; the names of one unit are parted by "|"
_TABLE = """
m|metre|meter = 1 m
s|sec|second = 1 s
g|gram|gramme|gm = 1/1000 kg
A|amp|ampere = 1 A
K|kelvin = 1 K
mol|mole = 1 mol
cd|candela = 1 cd
Hz|hertz = 1 s-1
N|newton = 1 kg m s-2
Pa|pascal = 1 kg m-1 s-2
J|joule = 1 kg m2 s-2
W|watt = 1 kg m2 s-3
C|coulomb = 1 A s
V|volt = 1 kg m2 s-3 A-1
F|farad = 1 kg-1 m-2 s4 A2
Ω|ohm = 1 kg m2 s-3 A-2
T|tesla = 1 kg s-2 A-1
Wb|weber = 1 kg m2 s-2 A-1
H|henry = 1 kg m2 s-2 A-2
L|l|litre|liter = 1/1000 m3
M|molar = 1000 mol m-3
eV|electronvolt = 1602176634/10000000000000000000000000000 kg m2 s-2
bar = 100000 kg m-1 s-2
atm|atmosphere = 101325 kg m-1 s-2
cal|calorie = 4184/1000 kg m2 s-2
pc|parsec = 30856775814913673 m
Å|angstrom = 1/10000000000 m
min|minute = 60 s
h|hr|hour = 3600 s
day = 86400 s
week|wk = 604800 s
year|yr|annum = 12 month
month = 1 month
t|tonne = 1000 kg
hectare|ha = 10000 m2
inch|in = 254/10000 m
foot|feet|ft = 3048/10000 m
yard|yd = 9144/10000 m
mile|mi = 1609344/1000 m
lb|lbs|pound = 45359237/100000000 kg
oz|ounce = 45359237/1600000000 kg
acre = 40468564224/10000000 m2
gallon|gal = 3785411784/1000000000000 m3
quart|qt = 946352946/1000000000000 m3
pint|pt = 473176473/1000000000000 m3
mph = 1609344/3600000 m s-1
kph|kmh = 1000/3600 m s-1
knot = 1852/3600 m s-1
$|usd|dollar|buck = 1 dollar
cent|¢ = 1/100 dollar
€|eur|euro = 1 euro
£|gbp = 1 sterling
¥|yen = 1 yen
%|percent = 1/100
°|degree|deg = 1 degree
arcmin|arcminute = 1/60 degree
arcsec|arcsecond = 1/3600 degree
rad|radian = 1 radian
celsius|°C|degree celsius|degrees celsius = 1 celsius
fahrenheit|°F|degree fahrenheit|degrees fahrenheit = 1 fahrenheit
square inch|square inches|sq in = 64516/100000000 m2
square foot|square feet|sq ft = 9290304/100000000 m2
square yard|square yards = 83612736/100000000 m2
square mile|square miles = 2589988110336/1000000 m2
square metre|square meter|square metres|square meters = 1 m2
square centimetre|square centimeter|square centimetres|square centimeters = 1/10000 m2
square kilometre|square kilometer|square kilometres|square kilometers = 1000000 m2
cubic metre|cubic meter|cubic metres|cubic meters = 1 m3
cubic centimetre|cubic centimeter|cubic centimetres|cubic centimeters = 1/1000000 m3
cubic foot|cubic feet = 28316846592/1000000000000 m3
cubic inch|cubic inches = 16387064/1000000000000 m3
"""
_UNCONVERTED = frozenset({"month", "degree", "radian", "celsius", "fahrenheit"})


def _read_table() -> dict[str, Unit]:
    units = {}
    for line in _TABLE.strip().splitlines():
        names, _, value = line.partition(" = ")
        factor, *bases = value.split()
        powers = tuple(sorted((base.rstrip("-0123456789"), _base_power(base)) for base in bases))
        units.update(dict.fromkeys(names.split("|"), Unit(Fraction(factor), powers)))
    return units


def _base_power(base: str) -> int:
    return int(base[len(base.rstrip("-0123456789")) :] or 1)


_UNITS = _read_table()


def convertible(first: Unit, second: Unit) -> bool | None:
    """True if one can be converted into the other, False if they measure different things, None if undecided."""
    if first.powers == second.powers:
        return True
    bases = {name for name, _ in (*first.powers, *second.powers)}
    return None if bases & _UNCONVERTED or not (first.known and second.known) else False

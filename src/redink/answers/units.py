r"""Units: one table, and one reader of what stands after a number ("km/h", "m s^{-2}", "square feet", "apples").

A unit is a factor and the powers of its base units, so two that measure the same thing convert exactly (1 m is
100 cm). Where a conversion is no exact factor (degrees Celsius, radians, calendar years) the unit is a base of its own.
Money counts as a unit. Symbols are told apart by case (mW, MW), names are not.
"""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

LARGEST_POWER = 12
MOST_FACTORS = 12


class Unit(NamedTuple):
    """A unit: `factor` of its base units, each to its power, or (where a word is unknown) just its words."""

    factor: Fraction = Fraction(1)
    bases: tuple[tuple[str, int], ...] = ()
    words: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether every word of it is a unit we know."""
        return not self.words


# names = factor base^power …; the names of one unit are parted by "|"
_TABLE = """
m|metre|meter = 1 m
kms = 1000 m
cms = 1/100 m
mms = 1/1000 m
micron = 1/1000000 m
s|sec|second = 1 s
g|gram|gramme|gm|gms = 1/1000 kg
kgs|kilo = 1 kg
A|amp|ampere = 1 A
K|kelvin = 1 K
mol|mole = 1 mol
cd|candela = 1 cd
Hz|hertz = 1 s-1
N|newton = 1 kg m s-2
dyn|dyne = 1/100000 kg m s-2
Pa|pascal = 1 kg m-1 s-2
J|joule = 1 kg m2 s-2
erg = 1/10000000 kg m2 s-2
kWh|kwh|kilowatt-hour = 3600000 kg m2 s-2
W|watt = 1 kg m2 s-3
C|coulomb = 1 A s
V|volt = 1 kg m2 s-3 A-1
F|farad = 1 kg-1 m-2 s4 A2
Ω|ohm|omega = 1 kg m2 s-3 A-2
T|tesla = 1 kg s-2 A-1
Wb|weber = 1 kg m2 s-2 A-1
H|henry = 1 kg m2 s-2 A-2
L|l|litre|liter = 1/1000 m3
M|molar = 1000 mol m-3
mM = 1 mol m-3
µM|μM|uM = 1/1000 mol m-3
nM = 1/1000000 mol m-3
eV|electronvolt = 1602176634/10000000000000000000000000000 kg m2 s-2
bar = 100000 kg m-1 s-2
atm|atmosphere = 101325 kg m-1 s-2
cal|calorie = 4184/1000 kg m2 s-2
pc|parsec = 30856775814913673 m
Å|angstrom = 1/10000000000 m
min|minute = 60 s
h|hr|hrs|hour = 3600 s
day = 86400 s
week|wk = 604800 s
decade = 120 month
year|yr|yrs|annum = 12 month
month = 1 month
t|tonne = 1000 kg
hectare|ha = 10000 m2
inch|in = 254/10000 m
foot|feet|ft = 3048/10000 m
yard|yd|yds = 9144/10000 m
mile|mi = 1609344/1000 m
lb|lbs|pound = 45359237/100000000 kg
oz|ounce = 45359237/1600000000 kg
acre = 40468564224/10000000 m2
gallon|gal = 3785411784/1000000000000 m3
quart|qt = 946352946/1000000000000 m3
pint|pt = 473176473/1000000000000 m3
cup = 473176473/2000000000000 m3
cc = 1/1000000 m3
mph = 1609344/3600000 m s-1
kph|kmh|kmph = 1000/3600 m s-1
knot = 1852/3600 m s-1
$|usd|dollar|buck = 1 dollar
cent|¢|penny = 1/100 dollar
nickel = 1 nickel
dime = 1 dime
€|eur|euro = 1 euro
£|gbp|sterling = 1 sterling
¥|yen|jpy = 1 yen
yuan|rmb|cny = 1 yuan
rupee|rs|inr|₹ = 1 rupee
%|percent = 1/100
°|degree|deg = 1 degree
arcmin|arcminute = 1/60 degree
arcsec|arcsecond = 1/3600 degree
rad|radian = 1 radian
celsius|°C = 1 celsius
fahrenheit|°F = 1 fahrenheit
"""
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
        ("pico", -12),
    )
}  # fmt: skip
_PREFIXABLE = frozenset({
    "m", "g", "s", "A", "K", "mol", "cd", "Hz", "N", "Pa", "J", "W", "C", "V", "F", "Ω", "T", "Wb", "H", "L", "l",
    "eV", "bar", "cal", "pc",
})  # fmt: skip
_OFTEN_MISSPELLED = frozenset({"km", "cm", "mm", "kg", "mg", "ml", "kj", "kw", "khz", "mhz", "hz", "kpa", "ev", "kmh"})
_UNCONVERTED = frozenset({"month", "degree", "radian", "celsius", "fahrenheit"})
SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "hundreds": 100, "thousands": 1000, "millions": 10**6, "billions": 10**9, "dozens": 12, "lakh": 10**5,
    "crore": 10**7, "lakhs": 10**5, "crores": 10**7,
}  # fmt: skip
PERCENT = frozenset({"percent", "pct", "percentage", "percents"})
PLAIN = frozenset({
    "km", "kms", "cm", "cms", "mm", "mms", "dm", "nm", "ft", "yd", "yds", "gm", "gms", "kg", "kgs", "mg", "lb", "lbs",
    "oz", "sec", "min", "mins", "hr", "hrs", "day", "yr", "yrs", "ml", "cc", "gal", "qt", "cup", "mph", "kph", "kmh",
    "hz", "khz", "mhz", "kj", "erg", "kw", "kwh", "kpa", "ohm", "amp", "mol", "deg", "rad", "usd", "eur", "gbp", "yen",
    "jpy", "rmb", "cny", "inr",
})  # fmt: skip
"""Short units that also count without a text command; a bare single letter after a number is a variable."""
UNIT_LETTERS = frozenset("mghstLlVNJWAKCTFH") | {"Omega"}
"""Single letters that are units where the other answer has a unit."""
CURRENCY = {"$": "dollar", "euro": "euro", "pounds": "sterling", "yen": "yen"}
_FILLER = frozenset({"of", "the", "a", "an", "in", "is", "total", "approximately", "about", "each", "only"})
_PREFIXED_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_SUFFIXED_POWERS = {"squared": 2, "cubed": 3}
_NO_UNITS = frozenset({
    "plus", "minus", "times", "divided", "over", "or", "and", "to", "not", "pi", "sqrt", "root", "log", "ln", "sin",
    "cos", "tan", "exp", "mod", "factorial", "choose", "half", "third", "quarter", "halves", "thirds", "quarters",
    "dots", "ldots", "infinity", "base", "squared", "cubed",
}) | SCALES.keys()  # fmt: skip
"""Words that change the number they stand after."""
_POWER = re.compile(r"\s*\^\s*\{?\s*([-+]?)\s*(\d{1,2})(?!\d)\s*\}?")
_BETWEEN = re.compile(r"[\\·×*~&,(){}\[\]]|\.(?!\d)|-(?!\d)")
_DIVIDES = re.compile(r"\s*(?:/|\bper\b)\s*")
_FACTOR = re.compile(r"([°µμ]?[^\W\d_]+'?|[°%$€£¥¢₹])(?:\^?([-+]?\d{1,2})(?!\d))?")
_GROUP_RAISED = re.compile(r"[(\[{][^()\[\]{}]*[^()\[\]{}\w][^()\[\]{}]*[)\]}]\s*\^")


@lru_cache(maxsize=4096)
def read_unit(text: str) -> Unit:
    r"""The unit that a text spells ("square feet", "km/h", "cm^{2} / sec"); its words if it is none that we know."""
    return stated_unit(text) or Unit(words=_label(text))


def stated_unit(text: str) -> Unit | None:
    """The unit or the words that a text consists of; None if it holds anything else, such as a number or a variable.

    What follows a slash is below it to the end: J/kg K is J/(kg K).
    """
    if _GROUP_RAISED.search(text):
        return None
    plain = _BETWEEN.sub(" ", _POWER.sub(r"^\1\2 ", text))
    factor, bases, known = Fraction(1), Counter[str](), True
    for place, part in enumerate(_DIVIDES.split(plain)):
        read = _product(part, -1 if place else 1)
        if read is None or (place and not part.strip()):
            return None
        factor, known = factor * read.factor, known and read.known
        for name, power in read.bases:
            bases[name] += power
    if not known:
        return Unit(words=_label(text))
    return Unit(factor, tuple(sorted((name, power) for name, power in bases.items() if power)))


def _product(text: str, sign: int) -> Unit | None:
    """The product of the units on one side of a slash; with words if one is unknown."""
    pieces = [(found[1], int(found[2] or 1)) for found in _FACTOR.finditer(text)]
    if _FACTOR.sub("", text).strip() or len(pieces) > MOST_FACTORS:
        return None
    units: list[Unit] = []
    raised = 1
    for place, (word, power) in enumerate(pieces):
        name = word.lower()
        if name in _PREFIXED_POWERS:
            raised = _PREFIXED_POWERS[name]
        elif name in _SUFFIXED_POWERS and units:
            units[-1] = _raised(units[-1], _SUFFIXED_POWERS[name])
        elif not _is_filler(word, name, pieces[place + 1 :]):
            if not 0 < abs(power) <= LARGEST_POWER or _is_no_unit(word):
                return None
            units.append(_raised(_one(word), sign * power * raised))
            raised = 1
    return _multiplied(units)


def product(one: Unit, other: Unit) -> Unit:
    """Two known units multiplied; the words if one has them."""
    both = _multiplied([one, other])
    return both if both.known else Unit(words=both.words)


def _is_filler(word: str, name: str, rest: list[tuple[str, int]]) -> bool:
    """Words that say nothing about the unit; "in" at the end is an inch, "A" an ampere, a degree may be of Celsius."""
    if name in {"degree", "degrees"}:
        return bool(rest) and rest[0][0].lower() in {"celsius", "fahrenheit"}
    return name in _FILLER and word != "A" and (name != "in" or bool(rest))


def _multiplied(units: list[Unit]) -> Unit:
    factor, bases = Fraction(1), Counter[str]()
    for unit in units:
        factor *= unit.factor
        for name, power in unit.bases:
            bases[name] += power
    return Unit(factor, tuple(sorted((name, power) for name, power in bases.items() if power)), _words(units))


def _words(units: list[Unit]) -> frozenset[str]:
    return frozenset[str]().union(*(unit.words for unit in units))


def _raised(unit: Unit, power: int) -> Unit:
    return Unit(unit.factor**power, tuple((name, exponent * power) for name, exponent in unit.bases), unit.words)


def _one(symbol: str) -> Unit:
    """One unit by symbol (case counts) or by name, singular or plural, with an SI prefix; else a word."""
    symbol = symbol.rstrip("'")
    if found := _by_symbol(symbol):
        return found
    name = singular(symbol.lower())
    if len(name) > 1 and name in _UNITS:
        return _UNITS[name]
    if name in _OFTEN_MISSPELLED and (found := _by_symbol(_SPELLED.get(name, name))):
        return found
    for prefix, scale in _PREFIX_NAMES.items():
        if name.startswith(prefix) and name[len(prefix) :] in _UNITS and len(name) - len(prefix) > 3:
            return _scaled(_UNITS[name[len(prefix) :]], scale)
    return Unit(words=frozenset({name}))


_SPELLED = {"kj": "kJ", "kw": "kW", "khz": "kHz", "mhz": "MHz", "hz": "Hz", "kpa": "kPa", "ev": "eV"}


def _by_symbol(symbol: str) -> Unit | None:
    if symbol in _UNITS:
        return _UNITS[symbol]
    for prefix, scale in _PREFIXES.items():
        if symbol.startswith(prefix) and symbol[len(prefix) :] in _PREFIXABLE:
            return _scaled(_UNITS[symbol[len(prefix) :]], scale)
    return None


def _scaled(unit: Unit, scale: Fraction) -> Unit:
    return unit._replace(factor=unit.factor * scale)


def _is_no_unit(symbol: str) -> bool:
    """Words that change the number, and lone letters that are variables."""
    return symbol.lower() in _NO_UNITS or (len(symbol) == 1 and symbol not in _UNITS)


def _label(text: str) -> frozenset[str]:
    """The words and numbers of a text that is no unit."""
    words = (word.strip("'").lower() for word in re.findall(r"[^\W\d_]+'?|[-+]?\d+|/", text))
    return frozenset(singular(word) for word in words if word and word not in _FILLER) or frozenset({"?"})


def singular(word: str) -> str:
    """The singular of a regular English plural: "apples" → "apple", "boxes" → "box", "inches" → "inch"."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3 else word


def convertible(first: Unit, second: Unit) -> bool | None:
    """True if one can be converted into the other, False if they measure different things, None if undecided."""
    if (first.bases, first.words) == (second.bases, second.words):
        return True
    bases = {name for name, _ in (*first.bases, *second.bases)}
    return None if bases & _UNCONVERTED or not (first.known and second.known) else False


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

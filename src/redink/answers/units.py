r"""Units: what stands after a number, as a product of known units or as words.

Two known units agree if they measure the same thing; the factor then converts (1 m is 100 cm). Money counts as a unit.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit: a factor over base units with their exponents, or (where a word is unknown) just its words."""

    factor: Fraction = Fraction(1)
    bases: tuple[tuple[str, int], ...] = ()
    words: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether every word of it is a unit we know."""
        return not self.words


def _spelled(table: str) -> dict[str, tuple[Fraction, dict[str, int]]]:
    """A line each: names | factor | base exponent base exponent …"""
    units: dict[str, tuple[Fraction, dict[str, int]]] = {}
    for line in table.strip().splitlines():
        names, factor, bases = (part.strip() for part in line.split("|"))
        pairs = bases.split()
        exponents = {base: int(power) for base, power in zip(pairs[::2], pairs[1::2], strict=True)}
        units.update(dict.fromkeys(names.split(), (Fraction(factor), exponents)))
    return units


KNOWN = _spelled("""
m meter meters metre metres | 1 | m 1
km kilometer kilometers kilometre kilometres kms | 1000 | m 1
cm centimeter centimeters centimetre centimetres cms | 1/100 | m 1
mm millimeter millimeters millimetre millimetres | 1/1000 | m 1
dm decimeter decimeters | 1/10 | m 1
nm nanometer nanometers nanometre nanometres | 1/1000000000 | m 1
pm picometer picometers | 1/1000000000000 | m 1
um micrometer micrometers micron microns | 1/1000000 | m 1
angstrom angstroms | 1/10000000000 | m 1
in inch inches | 254/10000 | m 1
ft foot feet | 3048/10000 | m 1
yd yard yards yds | 9144/10000 | m 1
mi mile miles | 1609344/1000 | m 1
g gram grams gm gms | 1 | g 1
kg kilogram kilograms kgs kilo kilos | 1000 | g 1
mg milligram milligrams | 1/1000 | g 1
t ton tons tonne tonnes | 1000000 | g 1
lb lbs pound pounds | 45359237/100000 | g 1
oz ounce ounces | 45359237/1600000 | g 1
s sec secs second seconds | 1 | s 1
ms millisecond milliseconds | 1/1000 | s 1
min mins minute minutes | 60 | s 1
h hr hrs hour hours | 3600 | s 1
day days | 86400 | s 1
week weeks | 604800 | s 1
month months | 1 | month 1
year years yr yrs | 12 | month 1
decade decades | 120 | month 1
l liter liters litre litres | 1/1000 | m 3
ml milliliter milliliters millilitre millilitres cc | 1/1000000 | m 3
gallon gallons gal | 473176473/125000000000 | m 3
quart quarts qt | 473176473/500000000000 | m 3
pint pints pt | 473176473/1000000000000 | m 3
cup cups | 473176473/2000000000000 | m 3
acre acres | 40468564224/10000000 | m 2
hectare hectares ha | 10000 | m 2
mph | 1609344/3600000 | m 1 s -1
kph kmh kmph | 1000/3600 | m 1 s -1
hz hertz | 1 | s -1
khz kilohertz | 1000 | s -1
mhz megahertz | 1000000 | s -1
n newton newtons | 1000 | g 1 m 1 s -2
j joule joules | 1000 | g 1 m 2 s -2
kj kilojoule kilojoules | 1000000 | g 1 m 2 s -2
erg ergs | 1/10000 | g 1 m 2 s -2
w watt watts | 1000 | g 1 m 2 s -3
kw kilowatt kilowatts | 1000000 | g 1 m 2 s -3
pa pascal pascals | 1000 | g 1 m -1 s -2
v volt volts | 1 | volt 1
ev electronvolt | 1 | ev 1
ohm ohms | 1 | ohm 1
amp amps ampere amperes | 1 | ampere 1
k kelvin kelvins | 1 | kelvin 1
celsius | 1 | celsius 1
fahrenheit | 1 | fahrenheit 1
mol mole moles | 1 | mol 1
degree degrees deg | 1 | degree 1
radian radians rad rads | 1 | radian 1
dollar dollars usd buck bucks | 1 | dollar 1
cent cents penny pennies | 1/100 | dollar 1
nickel nickels | 1 | nickel 1
dime dimes | 1 | dime 1
euro euros eur | 1 | euro 1
gbp sterling | 1 | sterling 1
yen jpy | 1 | yen 1
yuan rmb cny | 1 | yuan 1
rupee rupees rs inr | 1 | rupee 1
""")
SCALES = {
    "hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "hundreds": 100, "thousands": 1000, "millions": 10**6, "billions": 10**9, "dozens": 12,
}  # fmt: skip
PERCENT = frozenset({"percent", "pct", "percentage", "percents"})
PLAIN = frozenset(
    name for name in KNOWN if len(name) > 1 and name not in {"in", "mi", "ha", "pa", "um", "pt", "ms", "rs", "ev", "pm"}
)
"""Units that also count without a text command; a bare single letter after a number is a variable."""
UNIT_LETTERS = frozenset("mghstLlVvNnJjWw")
"""Single letters that are units where the other answer has a unit."""
CURRENCY = {"$": "dollar", "euro": "euro", "pounds": "sterling", "yen": "yen"}
_FILLER = frozenset(["of", "the", "a", "an", "in", "is", "total", "approximately", "about", "each", "only"])
_PIECE = re.compile(r"[A-Za-zÅ']+|\^\s?\{?\s?(-?\d)\s?\}?|[/*]|-?\d+|\S")


def read_unit(text: str) -> Unit:
    r"""The unit that a text spells ("square feet", "km/h", "cm^{2} / sec"); words if it has a part we do not know."""
    exponents: dict[str, int] = {}
    factor = Fraction(1)
    last: tuple[str, int] | None = None
    sign = prefix = 1
    words = [found for found in _PIECE.finditer(text.replace("\\", " "))]
    for found in words:
        piece = found[0].lower()
        if piece in {"per", "/"}:
            sign = -1
        elif piece in {"square", "sq", "cubic", "cu"}:
            prefix = 2 if piece.startswith("sq") else 3
        elif last is not None and (found[1] or piece in {"squared", "cubed"}):
            power = int(found[1]) if found[1] else 2 + (piece == "cubed")
            factor *= _power(last, power - 1, exponents)
        elif piece in KNOWN:
            last = (piece, sign * prefix)
            factor *= _power(last, 1, exponents)
            sign = prefix = 1
        elif piece not in {".", "*", "~", "{", "}", "(", ")", ",", "-"} | _FILLER:
            return Unit(words=_label(text))
    return Unit(factor, tuple(sorted((base, power) for base, power in exponents.items() if power)))


def _power(unit: tuple[str, int], times: int, exponents: dict[str, int]) -> Fraction:
    """Multiply a unit in `times` more times; returns its factor."""
    name, power = unit
    factor, bases = KNOWN[name]
    for base, exponent in bases.items():
        exponents[base] = exponents.get(base, 0) + exponent * power * times
    return factor ** (power * times)


def _label(text: str) -> frozenset[str]:
    words = (word.strip("'").lower() for word in re.findall(r"[A-Za-z']+", text))
    return frozenset(_singular(word) for word in words if word and word not in _FILLER) or frozenset({"?"})


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word

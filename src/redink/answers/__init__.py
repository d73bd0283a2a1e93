"""Is an answer right? An exact look at numbers first, then math-verify.

`ungradable` is kept apart from `wrong`: no answer, or one that the checker cannot read.
"""

from redink.answers.checking import compare, grade
from redink.answers.extraction import extract, final_number
from redink.answers.numbers import read_number

__all__ = ["compare", "extract", "final_number", "grade", "read_number"]

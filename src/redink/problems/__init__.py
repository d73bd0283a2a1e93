"""Problems: where they come from, and how sets of them are kept apart."""

from redink.problems.questions import normalise, question_key
from redink.problems.sets import fingerprint, refuse_overlap, split_problems
from redink.problems.sources import SourceInfo, list_sources, load_problems

__all__ = [
    "SourceInfo",
    "fingerprint",
    "list_sources",
    "load_problems",
    "normalise",
    "question_key",
    "refuse_overlap",
    "split_problems",
]

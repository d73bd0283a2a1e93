"""Problems: where they come from, and how sets of them are kept apart."""

from redink.problems.labelled import check_labelled, list_labelled, load_labelled
from redink.problems.published import SetCheck, check_set
from redink.problems.questions import normalise, question_key
from redink.problems.sets import fingerprint, refuse_overlap, split_problems
from redink.problems.sources import SourceInfo, list_sources, load_problems

__all__ = [
    "SetCheck",
    "SourceInfo",
    "check_labelled",
    "check_set",
    "fingerprint",
    "list_labelled",
    "list_sources",
    "load_labelled",
    "load_problems",
    "normalise",
    "question_key",
    "refuse_overlap",
    "split_problems",
]

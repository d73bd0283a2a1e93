"""A fifth of all questions, chosen by their text alone, that the bundled student's pre-training never saw."""

from __future__ import annotations

import hashlib


def held_out(question: str) -> bool:
    """True for about one question in five, decided by the SHA-256 of its text.

    `tools/pretrain_student.py` skips these questions, so that a run of the bundled student can be
    evaluated on problems that neither pre-training nor any stage has seen.
    """
    return hashlib.sha256(question.encode()).digest()[0] % 5 == 0

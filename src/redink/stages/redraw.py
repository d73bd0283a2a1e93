"""Problems → those for the next round: drawn by where the student still fails (not in the paper)."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from redink.types import Attempt, Problem


def redraw(problems: Sequence[Problem], attempts: Sequence[Attempt], count: int, seed: int) -> list[Problem]:
    """At most `count` problems, without replacement, in their order, with the weights of `weights`.

    Weighted as Efraimidis and Spirakis do (2006): the largest ln(u)/w are taken, u uniform on (0, 1) by seed and
    problem. Problems of weight 0 are never drawn.
    """
    weight = weights(problems, attempts)
    open_ = [problem for problem in problems if weight[problem.id] > 0]
    keys = {row.id: math.log(1 - random.Random(f"{seed}/{row.id}").random()) / weight[row.id] for row in open_}
    chosen = {problem.id for problem in sorted(open_, key=lambda problem: -keys[problem.id])[:count]}
    return [problem for problem in open_ if problem.id in chosen]


def weights(problems: Sequence[Problem], attempts: Sequence[Attempt]) -> Mapping[str, float]:
    """(wrong + r)/(n + 1) for each problem: `wrong` of its n attempts fail, r is the share of its subject that does.

    So a problem that the student fails weighs most, one that it solves in a subject that it fails weighs a little, and
    one of a subject that it masters nothing. A problem without attempts weighs r.
    """
    subject = {problem.id: problem.subject for problem in problems}
    own, shared = Counter(row.problem_id for row in attempts), Counter(subject[row.problem_id] for row in attempts)
    failed = [row.problem_id for row in attempts if not row.verdict.right]
    wrong, wrong_shared = Counter(failed), Counter(subject[name] for name in failed)
    share = {name: wrong_shared[name] / max(1, shared[name]) for name in subject.values()}
    return {name: (wrong[name] + share[subject[name]]) / (own[name] + 1) for name in subject}

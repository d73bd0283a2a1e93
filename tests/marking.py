"""A teacher for loopback servers: it copies the gold solution's equations, in the markup that is asked for."""

from __future__ import annotations

import re

from loopback import Answer, Asked, completion


def teacher_reply(asked: Asked) -> Answer:
    """A thought of the gold steps; of an attempt, step 1 is blamed and mended with the gold step and its reason."""
    text = asked.prompt
    gold = re.findall(r"(\d+ [-+*] \d+) = <<[^>]*>>(\d+)", text)
    answer = gold[-1][1] if gold else "0"
    steps = [f"<Step{n}>{left}<Key>{left} = {right}</Key></Step{n}>" for n, (left, right) in enumerate(gold, 1)]
    if "<Cause>" in text:
        mended = f"First, {gold[0][0]} = {gold[0][1]}"
        steps = [f"<Step1>0 + 0<Cause>it is not what is asked</Cause><Correction>{mended}</Correction></Step1>"]
        return completion("\n".join([*steps, f"<Answer>{answer}</Answer>"]))
    return completion("\n".join([*steps, "<Generalized>Step by step.</Generalized>", f"<Answer>{answer}</Answer>"]))

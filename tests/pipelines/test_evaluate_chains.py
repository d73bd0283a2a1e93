"""Chains of thought end to end: lengths always, marks and perplexity where a judge and a student are given."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_student

from redink.evaluation.chain_quality import ChainJudge
from redink.evaluation.perplexity import perplexity, score_chains
from redink.failures import Failure
from redink.models.scripted import ScriptedChat
from redink.pipelines.chains import ChainsReport, chains_table, evaluate_chains
from redink.prompts import Prompt

PROMPT = Prompt(name="ask", text="Question {{question}}")
CHAINS = ["3 + 4", "not how many apples", "5"]


def test_everything_at_once(tmp_path: Path) -> None:
    student = tiny_student(tmp_path)
    chat = ScriptedChat(lambda request: "<Coherence>4</Coherence><Consistency>x</Consistency>", name="gpt")
    quality, read, judged = evaluate_chains(
        "mine", ["1", "2", "3"], CHAINS, judge=ChainJudge(chat), student=student, prompt=PROMPT
    )
    assert quality.coherence is not None and quality.coherence.mean.value == 4.0
    assert quality.consistency is not None and quality.consistency.unscored.value == 1.0
    assert judged is not None and len(judged) == 3
    assert quality.tokens is not None and quality.tokens.most == max(len(student.reply_ids(chain)) for chain in CHAINS)
    assert read == perplexity(student.name, score_chains(student, [f"Question {n}" for n in "123"], CHAINS))
    table = chains_table(ChainsReport(quality=(quality,), perplexity={"mine": read} if read else {}))
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["n"], row["coherence"], row["consistency"]) == ("3", "4.00 [4.00, 4.00]", "–")
    assert "gpt by rubric_chain" in table.note


def test_lengths_alone() -> None:
    quality, read, judged = evaluate_chains("mine", ["q"], ["three words here"])
    assert (quality.words.mean.value, read, judged) == (3.0, None, None)
    assert chains_table(ChainsReport(quality=(quality,))).rows[0][-1] == "–"
    with pytest.raises(Failure, match="no chain of thought"):
        evaluate_chains("mine", [], [])

"""The papers' tables and figures as data: which models of which arms stand in the rows, which figures in the columns.

`recipes/reproduce/*.toml` say what the arms are. Models of an arm are those of its method; of a teacher's arm they are
'<kind of work>/<arm of the teacher>', of a comparison of chains the arms that were read, of a store
'<arm that was read>/<its model>/<off or on>'.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from redink.types import Row

SUPERCORRECT, ORION, OURS = "SuperCorrect", "ORION", "in neither paper"
FINAL = "final"
"""The one accuracy that a paper prints: after self-correction where the method has it, else of the first solution."""


class Line(Row):
    """A row of a table: one model."""

    label: str = Field(description="As people call it.")
    arm: str = Field(description="The arm that has it.")
    model: str = Field(description="Its name there.")
    final: str = Field("t1", description="The metric that is this method's one accuracy.")
    paper: str = Field("", description="What the paper reports, at its own scale.")


class Column(Row):
    """A column of a table: one metric of every line."""

    label: str = Field(description="Its heading.")
    metric: str = Field(description="See `reproduction/samples.py`; 'final' is the line's own.")
    style: Literal["percent", "signed", "number", "small"] = Field("percent", description="How it is written.")
    gain: bool = Field(False, description="The difference to the line above, paired by problem, in place of itself.")


class Item(Row):
    """A table or a figure."""

    name: str = Field(description="On the command line and as a file's name.")
    title: str = Field(description="What it shows.")
    paper: str = Field(description="Whose it is.")
    lines: tuple[Line, ...] = Field(description="Its rows.")
    columns: tuple[Column, ...] = Field(description="Its columns.")
    by: Literal["", "source", "subject"] = Field("", description="Add a column of the one accuracy per such group.")
    chart: Literal["", "arrows", "groups", "repeats", "curve"] = Field("", description="The figure drawn of it.")
    words: str = Field("", description="What a reader must know; what is not known of the paper's own form.")

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms it needs."""
        return tuple(dict.fromkeys(line.arm for line in self.lines))


def _line(label: str, arm: str, model: str, final: str = "t1", paper: str = "") -> Line:
    return Line(label=label, arm=arm, model=model, final=final, paper=paper)


def _column(
    label: str, metric: str, style: Literal["percent", "signed", "number", "small"] = "percent", gain: bool = False
) -> Column:
    return Column(label=label, metric=metric, style=style, gain=gain)


BASE = _line("base", "supercorrect", "base", paper="55.1 / 83.2")
SFT = _line("SFT", "sft", "sft", paper="57.4 / 84.3")
HSFT = _line("HSFT", "supercorrect", "hsft", paper="62.4 / 87.2")
REFLEXION = _line("HSFT + Reflexion", "reflexion", "reflexion", "t2", "63.1 / 86.8")
CROSS_DPO = _line("HSFT + Cross-DPO", "supercorrect", "cross_dpo", "t2", "70.2 / 89.5")
DPO = _line("HSFT + DPO", "dpo", "dpo")
STEP_DPO = _line("HSFT + Step-DPO", "step-dpo", "step_dpo")
COMBINED = _line("ORION + Cross-DPO", "combined", "cross_dpo", "t2")
VOTES = (
    _line("HSFT, votes for the tokens of its t1 and t2", "supercorrect", "hsft", "vote"),
    _line("Cross-DPO, votes for the tokens of its t1 and t2", "supercorrect", "cross_dpo", "vote"),
)
ACCURACY, T1, T2 = _column("accuracy", FINAL), _column("t1", "t1"), _column("t2", "t2")
DELTA, LOCATE, CORRECT = _column("Δ", "delta", "signed"), _column("locate", "locate"), _column("correct", "correct")
STUDENT = "{student}"
"""In a label: what the scale calls the arm's student."""
ARCHITECTURES = {"first": "supercorrect", "second": "supercorrect-second", "third": "supercorrect-third"}
NOT_KNOWN = "The paper's own columns are not known to us in full; these are the figures that its text reports."
ONE_ACCURACY = "accuracy: after the student's own review where the method trains or prompts for it, else at t1."


def _architectures(models: tuple[tuple[str, str, str], ...]) -> tuple[Line, ...]:
    return tuple(
        _line(f"{STUDENT}: {label}", arm, model, final)
        for arm in ARCHITECTURES.values()
        for label, model, final in models
    )  # fmt: skip


TAUGHT = (("base", "base", "t1"), ("HSFT", "hsft", "t1"), ("HSFT + Cross-DPO", "cross_dpo", "t2"))
STYLES = (
    ("CoT", "style-cot", "57.4"), ("CoT + hierarchical", "style-cot-h", "59.7"),
    ("CoT + hierarchical + generalized", "style-cot-hg", "60.8"), ("ours, not XML", "style-text", "61.8"),
    ("ours, XML", "supercorrect", "62.4"),
)  # fmt: skip
TEACHING = tuple(
    _line(f"{kind}, {label}", "teacher", f"{kind}/{arm}", "strict", paper if kind == "thoughts" else "")
    for kind in ("thoughts", "traces")
    for label, arm, paper in (("first reply", "bare", "98.2"), ("+ our checks", "checked", ""),
                              ("+ inspector", "inspected", "99.6"))
)  # fmt: skip

ITEMS = {
    item.name: item
    for item in (
        Item(
            name="table1", paper=SUPERCORRECT, title="Table 1: methods, and baselines of the same data",
            lines=(BASE, SFT, HSFT, DPO, STEP_DPO, *VOTES, REFLEXION, CROSS_DPO), columns=(ACCURACY, T1, T2),
            by="source",
            words=f"{ONE_ACCURACY} Columns of sources stand in for the paper's MATH and GSM8K. Paper: "
            "Qwen2.5-Math-7B-Instruct on MATH / GSM8K. DPO, Step-DPO and votes are trained and counted here, on the "
            "same problems; the paper's table lists published models instead.",
        ),
        Item(
            name="table2", paper=SUPERCORRECT, title="Table 2: what each stage adds",
            lines=(BASE, SFT, HSFT, REFLEXION, CROSS_DPO),
            columns=(ACCURACY, _column("gain over the line above", FINAL, "signed", gain=True)),
            words=f"{ONE_ACCURACY} Paper: Qwen2.5-Math-7B-Instruct on MATH / GSM8K. {NOT_KNOWN}",
        ),
        Item(
            name="table5", paper=SUPERCORRECT, title="Table 5: the teacher's work with and without the inspector",
            lines=TEACHING,
            columns=(
                _column("every step right", "strict"), _column("answer right", "answer"),
                _column("delivered", "delivered"), _column("rounds", "rounds", "number"),
            ),
            words="Shares of what is delivered. Offline the teacher is the reference teacher with seeded mistakes, so "
            "the truth is known. Paper: o1-mini on MATH, correctness of what is kept.",
        ),
        Item(
            name="table6", paper=SUPERCORRECT, title="Table 6: finding and mending the first wrong step",
            lines=_architectures(TAUGHT), columns=(LOCATE, CORRECT), chart="",
            words="Of wrong solutions in which the teacher finds a wrong step. Each model reviews its own solutions. "
            "Paper, before → after Cross-DPO (locate/correct): Llama .31/.08 → .49/.27, DeepSeek .23/.07 → .42/.23, "
            "Qwen .43/.12 → .67/.46.",
        ),
        Item(
            name="table7", paper=SUPERCORRECT, title="Table 7: three architectures",
            lines=_architectures(TAUGHT), columns=(ACCURACY, T1, T2, DELTA),
            words=f"{ONE_ACCURACY} Paper (MATH / GSM8K, base → HSFT → Cross-DPO): Llama 51.9/84.5 → 55.4/87.2 → "
            "58.2/89.7, DeepSeek 46.8/82.9 → 50.9/85.7 → 54.6/88.2, Qwen 55.1/83.2 → 62.4/87.2 → 70.2/89.5. "
            f"{NOT_KNOWN}",
        ),
        Item(
            name="table8", paper=SUPERCORRECT, title="Table 8: styles of thought in HSFT",
            lines=tuple(_line(label, arm, "hsft", "t1", paper) for label, arm, paper in STYLES),
            columns=(ACCURACY, _column("gain over the line above", FINAL, "signed", gain=True)),
            words="The same thoughts, written in five styles; accuracy of the first solution. Paper: Qwen on MATH.",
        ),
        Item(
            name="figure3", paper=SUPERCORRECT, title="Figure 3: self-correction, t1 → t2",
            lines=(BASE, SFT, HSFT, DPO, STEP_DPO, REFLEXION, CROSS_DPO), chart="arrows",
            columns=(T1, T2, DELTA, _column("wrong → right", "repaired"), _column("right → wrong", "broken")),
            words="No oracle says which solutions are wrong. The paper: 5 to 6 points after Cross-DPO, none elsewhere.",
        ),
        Item(
            name="figure4", paper=SUPERCORRECT, title="Figure 4: by subject", lines=(BASE, HSFT, CROSS_DPO),
            columns=(ACCURACY,), by="subject", chart="groups",
            words=f"{ONE_ACCURACY} Subjects are kinds of problems here, topics of MATH in the paper.",
        ),
        Item(
            name="figure5", paper=SUPERCORRECT, title="Figure 5: stability over repeats",
            lines=(BASE, HSFT, CROSS_DPO), chart="repeats",
            columns=(_column("mean accuracy", "repeats"), _column("variance within a problem", "unsteady", "small")),
            words="Sampled solutions, several per problem. Variance of a reply's being right, p(1 − p), averaged over "
            "problems: 0 is steady, ¼ a coin. The paper: 256 repeats, a higher mean and a lower variance.",
        ),
        Item(
            name="orion", paper=ORION, title="ORION's main table",
            lines=(
                _line("base", "orion", "base"), _line("SFT on gold solutions", "orion-sft", "sft"),
                _line("SFT on the teacher's long chains", "long-sft", "long_sft"), _line("ORION", "orion", "orion"),
                COMBINED,
            ),
            columns=(ACCURACY,), by="source",
            words=f"{ONE_ACCURACY} Sources stand in for GSM-Hard, MATH500, AIME24 and AMC23. {NOT_KNOWN}",
        ),
        Item(
            name="orion-ablation", paper=ORION, title="ORION's ablation",
            lines=(
                _line("SFT on the teacher's long chains", "long-sft", "long_sft"),
                _line("ORION without error exposure", "orion-unexposed", "orion"),
                _line("ORION without reflection", "orion-unreflected", "orion"),
                _line("ORION, an exposure model trained towards errors", "orion-trained", "orion"),
                _line("ORION, refined by the teacher", "orion-teacher", "orion"),
                _line("ORION", "orion", "orion"),
            ),
            columns=(ACCURACY,), by="source", words=NOT_KNOWN,
        ),
        Item(
            name="orion-quality", paper=ORION, title="ORION's chains",
            lines=(
                _line("gold solutions", "orion-chains", "orion-sft", "words"),
                _line("teacher's long chains", "orion-chains", "long-sft", "words"),
                _line("ORION", "orion-chains", "orion", "words"),
            ),
            columns=(
                _column("words", "words", "number"), _column("tokens", "tokens", "number"),
                _column("nats per token", "nats", "number"), _column("coherent lines", "coherent"),
                _column("equations that hold", "consistent"),
            ),
            words="Read by the base student; nats per token: log of its perplexity. Coherence and consistency by rule, "
            "where the paper asks an LLM judge: `redink evaluate-chains --judge` does that too.",
        ),
        Item(
            name="rounds", paper=OURS, title="Rounds of Cross-DPO",
            lines=(
                _line("base", "rounds", "base"), _line("HSFT", "rounds", "hsft"),
                _line("round 1", "rounds", "cross_dpo", "t2"), _line("round 2", "rounds", "cross_dpo_2", "t2"),
                _line("round 3", "rounds", "cross_dpo_3", "t2"),
            ),
            columns=(ACCURACY, T1, T2, DELTA, LOCATE, CORRECT), chart="arrows",
            words="Rounds end early where nothing is left to correct.",
        ),
        Item(
            name="combined", paper=OURS, title="Both methods together",
            lines=(
                _line("base", "combined", "base"), _line("ORION", "combined", "orion"), COMBINED,
                _line("HSFT", "combined-supercorrect", "hsft"),
                _line("HSFT + Cross-DPO", "combined-supercorrect", "cross_dpo", "t2"),
            ),
            columns=(ACCURACY, T1, T2, DELTA, LOCATE, CORRECT), chart="arrows",
            words="ORION's refined chains in place of hierarchical thoughts, then Cross-DPO.",
        ),
        Item(
            name="store", paper=OURS, title="A store of thoughts: not consulted, and consulted",
            lines=tuple(
                _line(f"{label}, {words}", "store", f"supercorrect/{model}/{way}", "t2")
                for label, model in (("HSFT", "hsft"), ("HSFT + Cross-DPO", "cross_dpo"))
                for words, way in (("without the store", "off"), ("with the store", "on"))
            ),
            columns=(
                T1, T2, DELTA, _column("no answer at t1", "unanswered"),
                _column("tokens per problem", "tokens", "number"),
            ),
            words="The general thoughts of the training set, found by the likeness of their questions, are "
            "shown with each problem (docs/solve.md). t2 is the answer that stands in the end: a review that cannot "
            "be read changes nothing here, and is wrong in the other tables.",
        ),
    )
}  # fmt: skip

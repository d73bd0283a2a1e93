"""redink teaches small language models from their own mistakes.

The public names, in the order of the house. They load on first use, so that `import redink` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "redink.types": (
        "Problem", "Step", "Thought", "LocatedError", "CorrectionTrace", "Verdict", "Attempt", "ThoughtRow",
        "CorrectionRow", "Review", "OwnCorrection", "PreferencePair", "ChainRow", "ExposedError", "RefinedChain",
        "Rejected", "Quarantined", "Tried", "StageCounts",
    ),
    "redink.failures": ("Failure", "BadInput", "BadRecipe", "MissingModel", "RowFailure", "MarkupFailure", "Unsound"),
    "redink.rows": ("read_rows", "write_rows"),
    "redink.markup": ("parse_thought", "render_thought", "parse_trace", "render_trace", "parse_steps"),
    "redink.answers": ("compare", "extract", "grade"),
    "redink.answers.checkers": ("Checker", "checker_of"),
    "redink.answers.rewards": ("AnswerReward", "LMEvalTask"),
    "redink.problems": ("load_problems", "load_labelled", "check_set", "split_problems"),
    "redink.prompts": ("Prompt", "load_prompt"),
    "redink.models.chat": ("ChatModel", "ChatRequest", "Reply"),
    "redink.models.openai": ("OpenAIChat",),
    "redink.models.scripted": ("ScriptedChat",),
    "redink.models.wire": ("Endpoint",),
    "redink.models.limiter": ("Limits",),
    "redink.models.journal": ("Journal",),
    "redink.models.ledger": ("Ledger", "Price"),
    "redink.models.engine": ("Engine",),
    "redink.models.batch": ("BatchChat",),
    "redink.models.student": ("Student", "Sampling", "Request"),
    "redink.teaching.protocols": ("Teacher", "Inspector", "Inspection"),
    "redink.teaching.llm": ("LLMTeacher", "LLMInspector"),
    "redink.teaching.inspection": ("Patience", "inspected"),
    "redink.teaching.reference": ("ReferenceTeacher", "ReferenceInspector"),
    "redink.stages.thoughts": ("write_thought",),
    "redink.stages.corrections": ("write_correction",),
    "redink.stages.chains": ("write_chain",),
    "redink.stages.exposure": ("expose",),
    "redink.stages.refinement": ("refine",),
    "redink.training.settings": ("HSFTSettings", "CrossDPOSettings", "LoRASettings"),
    "redink.training.hsft": ("train_hsft",),
    "redink.training.cross_dpo": ("train_cross_dpo",),
    "redink.evaluation.panel": ("Panel", "panel"),
    "redink.evaluation.judge": ("AnswerJudge",),
    "redink.solving.solved": ("Solved", "Event"),
    "redink.solving.solver": ("Solver", "Generation"),
    "redink.solving.presets": ("Preset",),
    "redink.solving.store": ("ThoughtStore",),
    "redink.recipe": ("Recipe", "EvaluationRecipe", "load_recipe"),
    "redink.run": ("Run",),
    "redink.pipelines.supercorrect": ("supercorrect",),
    "redink.pipelines.orion": ("orion", "orion_supercorrect"),
    "redink.pipelines.methods": ("follow_recipe",),
    "redink.pipelines.evaluation": ("evaluate", "evaluate_student"),
    "redink.pipelines.comparison": ("compare_runs",),
    "redink.pipelines.tables": ("Table",),
    "redink.report.building": ("write_report",),
    "redink.report.comparing": ("write_comparison",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = list(_HOME_OF)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'redink' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])

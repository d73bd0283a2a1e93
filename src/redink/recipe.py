"""A recipe: everything a run is told, in one TOML file; unknown keys are refused with the nearest known one."""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Sequence
from decimal import Decimal
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, Field, JsonValue, ValidationError, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from redink.failures import BadInput, BadRecipe
from redink.models.ledger import Price
from redink.models.limiter import Limits
from redink.stages.engine import EngineSettings
from redink.stages.styles import Style
from redink.training.settings import CrossDPOSettings, HSFTSettings
from redink.types import Row

P = TypeVar("P", bound=BaseModel)
_OF_A_CHAT_MODEL = (
    "key_name", "tries", "server_tries", "timeout_s", "larger_on_cut", "max_tokens_limit", "limits", "price", "batch",
    "batch_size", "batch_wait_s",
)  # fmt: skip
_OF_EVERY_CHAT_MODEL = tuple(f"{who}.{key}" for who in ("teacher", "inspector") for key in _OF_A_CHAT_MODEL)
MAY_CHANGE = ("budget", "engine", "journal", *_OF_EVERY_CHAT_MODEL)
"""Keys that may be changed while a run is under way: they say how rows are made, not which."""


class ProblemsRecipe(Row):
    """Which problems, and how many for each of the three disjoint sets."""

    sources: tuple[str, ...] = Field(description="Sources of the thought and error sets, mixed evenly.")
    evaluation_sources: tuple[str, ...] = Field((), description="Sources of the evaluation set; () means `sources`.")
    thoughts: int = Field(gt=0, description="Problems for D_sft.")
    errors: int = Field(gt=0, description="Problems held apart for the error set.")
    evaluation: int = Field(gt=0, description="Problems that no stage sees.")
    held_out: bool = Field(False, description="Evaluate only on questions that the bundled student never saw.")
    checker: str | dict[str, str] = Field(
        "math",
        description="Who says what is right (redink.answers.checkers), for all problems or per source: "
        'checker = { "reasoning_gym:knights_knaves" = "reasoning_gym", default = "math" }.',
    )


class TeacherRecipe(Row):
    """Who teaches, or inspects."""

    kind: Literal["reference", "openai", "none"] = Field(
        "reference", description="'reference': offline, by rule; 'openai': any compatible server; 'none': no inspector."
    )
    error_rate: float = Field(0.0, ge=0, le=1, description="Share of seeded mistakes (reference teacher only).")
    quotes: bool = Field(
        False, description="Keys begin with the words of the question that they take up (reference teacher only)."
    )
    hard_keys: bool = Field(
        False,
        description="Only steps that are more than one does in the head have a key: several operations of which one "
        "carries, borrows or multiplies (reference teacher only).",
    )
    model: str = Field("", description="The model's name at the server.")
    base_url: str = Field("https://api.openai.com/v1", description="The server.")
    key_name: str = Field("OPENAI_API_KEY", description="Name of the environment variable that holds the key.")
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(4096, gt=0, description="Longest reply; reasoning counts where the server counts it.")
    token_limit_key: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="What the server calls the longest reply."
    )
    leave_out: tuple[Literal["temperature", "top_p"], ...] = Field(
        (), description="Settings that the server refuses: they are not sent."
    )
    extra_body: dict[str, JsonValue] = Field(
        default_factory=dict, description="Further fields of every request, sent as they are."
    )
    rounds: int = Field(3, ge=1, le=3, description="Inspection rounds (paper: at most 3).")
    tries: int = Field(3, ge=1, description="Replies asked for, in each round, until one can be used.")
    server_tries: int = Field(8, ge=1, description="Tries per call where the server fails.")
    timeout_s: float = Field(600, gt=0, description="Longest wait for one reply, in seconds.")
    larger_on_cut: float | None = Field(
        None, gt=1, description="A reply cut by max_tokens is asked for again with so many times as many."
    )
    max_tokens_limit: int = Field(32_768, gt=0, description="The most that larger_on_cut may reach.")
    limits: Limits = Field(default_factory=Limits, description="What the endpoint may be asked at most.")
    price: Price | None = Field(None, description="What it costs; needed for a budget.")
    batch: bool = Field(False, description="Through the Batch API: cheaper, and slower.")
    batch_size: int = Field(5000, ge=1, le=50_000, description="Requests collected for one batch, at most.")
    batch_wait_s: float = Field(30, gt=0, description="A batch is sent off after so many seconds without a request.")


class PromptsRecipe(Row):
    """A bundled prompt's name or a file of the user's, for each use."""

    base: str = Field("style_cot", description="How the base student is asked (table 8's styles, or any).")
    chain: str = Field("solve_in_steps", description="How students that learn chains of thought are asked.")
    solve: str = Field("solve_hierarchical", description="P_stu: solve in hierarchical form.")
    style: str = Field("", description="How thoughts in another `style` are asked for; empty: the style's own prompt.")
    correct: str = Field("correct", description="P_c: correct without the gold solution (student).")
    extract_thought: str = Field("extract_thought", description="P_tea: write a thought from the gold solution.")
    correct_with_solution: str = Field("correct_with_solution", description="Grounded P_c (teacher).")
    inspect_thought: str = Field("inspect_thought", description="Inspect a thought.")
    inspect_trace: str = Field("inspect_trace", description="Inspect a correction trace.")
    long_chain: str = Field("write_long_chain", description="Write a long chain of thought (ORION's teacher).")
    refine: str = Field("refine_chain", description="Reflect on own errors and rewrite the teacher's chain (ORION).")
    refine_unexposed: str = Field("refine_chain_unexposed", description="The same where there is no own error.")
    refine_as_teacher: str = Field("refine_as_teacher", description="Rewrite the chain for a student (its teacher).")
    rewrite: str = Field("rewrite_chain", description="Rewrite the chain beside own errors, without reflection.")
    reflect: str = Field("reflect", description="Say what went wrong (Reflexion).")
    retry: str = Field("retry", description="Try again after reflections (Reflexion).")


class SamplingRecipe(Row):
    """How attempts and own corrections are drawn."""

    temperature: float = Field(0.7, ge=0)
    correction_temperature: float = Field(0.7, ge=0, description="For the student's own corrections (rejected).")
    top_p: float = Field(1.0, gt=0, le=1)
    samples: int = Field(1, ge=1, description="Attempts per error-set problem.")
    max_new_tokens: int = Field(1024, ge=1, description="Longest solution.")
    max_review_tokens: int = Field(1536, ge=1, description="Longest review.")
    batch_rows: int = Field(32, ge=1, description="Rows per generation batch.")
    continuous: bool = Field(
        False, description="Refill batches while they run; sampled replies then do not depend on their batch."
    )


class ReviewRecipe(Row):
    """How a solution is shown to its reviewer, and what a correction trace holds. Not in the paper; both off there."""

    results_only: bool = Field(False, description="Show each step's set-up and claimed result, without its <Key>.")
    recheck: bool = Field(False, description="In the trace, every step is worked out anew in <Key>.")


class PairsRecipe(Row):
    """Which pairs are made."""

    per_problem: int = Field(1, ge=1, description="Wrong attempts used per problem.")
    confirmations: int = Field(
        0,
        ge=0,
        description="Not in the paper. Reviews drawn per right attempt to find false alarms, which become pairs "
        "that prefer the plain step.",
    )
    counterparts: bool = Field(
        False,
        description="Not in the paper. As many pairs as there are corrections, each at a right step of a right "
        "attempt: the plain step over a false alarm that the student is made to write.",
    )


class ExposureRecipe(Row):
    """ORION, error exposure: which of the student's own errors its refinement is shown."""

    by: Literal["student", "trained", "nobody"] = Field(
        "student",
        description="'trained': an exposure model, the student after DPO towards its own errors (the method's first "
        "version); 'nobody': no errors are exposed.",
    )
    samples: int = Field(8, ge=1, description="Solutions drawn per problem.")
    strategy: Literal["frequent", "probable", "all"] = Field(
        "frequent",
        description="Which of the distinct errors come first: the most frequent, or the most probable by the student; "
        "'all': every one, the most frequent first.",
    )
    keep: int = Field(1, ge=1, description="Errors kept per problem, unless 'all'.")
    dpo: CrossDPOSettings = Field(
        default_factory=lambda: CrossDPOSettings(epochs=1.0), description="Training of the exposure model."
    )


class RefinementRecipe(Row):
    """ORION, refinement: who rewrites the teacher's chain, and which rewriting is good enough."""

    by: Literal["student", "teacher", "rule", "nobody"] = Field(
        "student",
        description="'rule': the teacher's chain and the error that the teacher locates, put together by rule, for "
        "students too weak to reflect; 'nobody': the teacher's chain is learnt as it is.",
    )
    reflect: bool = Field(True, description="False: rewrite without reflection on the errors (an ablation).")
    tries: int = Field(4, ge=1, description="Rewritings per problem, of which the best is taken.")
    temperature: float = Field(0.7, ge=0, description="Temperature of the student's rewritings.")
    max_new_tokens: int = Field(2048, ge=1, description="Longest rewriting by the student.")
    max_similarity: float = Field(
        0.9, gt=0, le=1, description="More alike than this to the teacher's chain is a mere copy (1: all may pass)."
    )


class ReflexionRecipe(Row):
    """Reflexion-style prompting at inference: verbal reflection, then another try; nothing is trained."""

    trials: int = Field(1, ge=1, description="Reflections and retries; the last retry is the second answer.")
    max_new_tokens: int = Field(256, ge=1, description="Longest reflection.")


class StoreRecipe(Row):
    """`redink reproduce`, arms of kind "store": how a store of thoughts is measured. No other command looks at it."""

    problems: int = Field(0, ge=0, description="The first so many evaluation problems of the arm; 0: all.")
    thoughts: int = Field(3, ge=1, description="Thoughts that each question is shown at most.")
    rounds: int = Field(1, ge=0, description="Rounds of self-correction at most.")


class BudgetRecipe(Row):
    """What a run may cost."""

    max_usd: Decimal | None = Field(
        None, ge=0, allow_inf_nan=False, description="A hard stop: what was in flight then is the most beyond it."
    )


class RepeatsRecipe(Row):
    """What the evaluation of a run draws beside the greedy solutions: stability, pass@k and maj@k need several."""

    repeats: int = Field(0, ge=0, description="Solutions drawn per problem; 0: none. May be raised later.")
    repeat_problems: int = Field(100, ge=1, description="Of the evaluation problems, the first so many.")
    temperature: float = Field(0.7, gt=0, description="Temperature of the repeats.")
    ks: tuple[int, ...] = Field((), description="The k of pass@k and maj@k; (): the powers of two up to `repeats`.")


class PlanLengths(Row):
    """`redink plan`: mean lengths in tokens of the student's, as assumed; `--from` takes them out of an earlier run."""

    question: float = Field(90, gt=0, description="A question.")
    gold: float = Field(180, gt=0, description="A gold solution, as the teacher is shown it.")
    thought: float = Field(420, gt=0, description="A hierarchical thought.")
    plain_chain: float = Field(200, gt=0, description="A gold solution, a step per line.")
    long_chain: float = Field(1500, gt=0, description="A teacher's long chain of thought.")
    refined_chain: float = Field(1200, gt=0, description="A rewritten chain.")
    base_solution: float = Field(350, gt=0, description="A solution by the base student.")
    chain_solution: float = Field(700, gt=0, description="A solution by a student that learnt chains.")
    solution: float = Field(420, gt=0, description="A solution in hierarchical form.")
    shown: float = Field(420, gt=0, description="A solution as reviewers see it (shorter with review.results_only).")
    base_review: float = Field(500, gt=0, description="A review by the base student.")
    gold_review: float = Field(
        0,
        ge=0,
        description="A review of a gold solution by the base student (hsft.replay_gold); 0: as much longer than "
        "base_review as plain_chain is than base_solution.",
    )
    review: float = Field(500, gt=0, description="A review by a student that was taught.")
    alarm: float = Field(450, gt=0, description="The same of a right solution (pairs.confirmations).")
    trace: float = Field(520, gt=0, description="A teacher's correction trace.")
    prefix: float = Field(200, ge=0, description="The right steps before the first wrong one.")
    chosen: float = Field(150, gt=0, description="The teacher's step with cause and correction.")
    rejected: float = Field(150, gt=0, description="The student's own such step.")
    given_step: float = Field(120, gt=0, description="The student's own such step in the evaluation (greedy).")
    step: float = Field(90, gt=0, description="A plain step (Step-DPO, and at right steps: pairs.counterparts).")
    reflection: float = Field(150, gt=0, description="A reflection (Reflexion).")
    verdict: float = Field(60, gt=0, description="An inspector's verdict and remarks.")
    reasoning: float = Field(0, ge=0, description="Hidden reasoning that a chat model bills for each reply.")


class PlanShares(Row):
    """`redink plan`: what becomes of the rows, as assumed; `--from` takes it out of an earlier run."""

    base_right: float = Field(0.5, ge=0, le=1, description="Share of solutions by the base student that are right.")
    sampled_right: float = Field(0.55, ge=0, le=1, description="After HSFT or SFT, of those drawn for the error set.")
    taught_right: float = Field(0.6, ge=0, le=1, description="After HSFT or SFT, of those in the evaluation (greedy).")
    preferred_right: float = Field(0.65, ge=0, le=1, description="The same after Cross-DPO or DPO.")
    thoughts: float = Field(0.97, ge=0, le=1, description="Thoughts that are accepted.")
    chains: float = Field(0.9, ge=0, le=1, description="Long chains that are accepted.")
    located: float = Field(0.85, ge=0, le=1, description="Wrong solutions whose first wrong step is marked.")
    pairs: float = Field(0.85, ge=0, le=1, description="Corrections that the student's own side loses to.")
    false_alarms: float = Field(0.1, ge=0, le=1, description="Reviews of right solutions that become pairs.")
    counterparts: float = Field(0.99, ge=0, le=1, description="Alarms that were made at right steps that do.")
    solution_pairs: float = Field(0.98, ge=0, le=1, description="Wrong solutions with a right one beside them (DPO).")
    exposed: float = Field(0.6, ge=0, le=1, description="Problems at which the student errs at least once (ORION).")
    errors_shown: float = Field(1.0, ge=1, description="Errors shown per such problem (ORION).")
    rewritings: float = Field(0.6, ge=0, le=1, description="Rewritings that are right and no copy (ORION).")
    rounds: float = Field(1.2, ge=1, le=3, description="Inspection rounds per row.")
    tries: float = Field(1.05, ge=1, description="Replies asked for in each round until one can be used.")
    cached: float = Field(0.0, ge=0, le=1, description="Tokens sent that the server has in its cache.")


class PlanSpeeds(Row):
    """`redink plan`: how fast things go, as assumed, where no rate was measured."""

    mfu: float = Field(0.4, gt=0, le=1, description="Training: share of the hardware's peak arithmetic that is used.")
    bandwidth: float = Field(0.6, gt=0, le=1, description="Sampling: share of the memory bandwidth that is used.")
    host_ms_per_layer: float = Field(
        0.8, ge=0, description="Sampling: host time per layer and token step; 0.05 for an engine with CUDA graphs."
    )
    chat_tokens_per_second: float = Field(60, gt=0, description="How fast a chat model writes one reply.")
    chat_wait_s: float = Field(1.0, ge=0, description="Before it begins.")
    batch_hours: float = Field(6, gt=0, description="How long the Batch API takes for a batch.")
    rule_rows: float = Field(300, gt=0, description="Rows a second of the offline teacher.")
    rates: dict[str, float] = Field(
        default_factory=dict,
        description="Tokens a second that were measured, by kind of work: solve, review, own_step, reflect, rewrite "
        "(written), score, supervised, preference (read), teach (rows); 'solve.base' is the base student's alone. They "
        "go before everything else.",
    )


class PlanCalls(Row):
    """`redink plan`: what one of the two chat models is asked for each row of a kind of stage."""

    per_row: float = Field(ge=0, description="Calls per row.")
    prompt: float = Field(ge=0, description="Tokens sent per call.")
    cached: float = Field(0.0, ge=0, description="Of these, tokens that the server has in its cache.")
    completion: float = Field(ge=0, description="Tokens received per call.")


class PlanRecipe(Row):
    """What `redink plan` assumes. Nothing here changes a run."""

    hardware: str = Field("", description="Such as '8xA100-40GB' or 'cpu'; empty: this machine.")
    strategy: Literal["auto", "single", "ddp", "zero2", "zero3", "fsdp2"] = Field(
        "auto", description="How training is spread (recipes/accelerate); auto: fsdp2 on several GPUs."
    )
    sampling_gpus: int = Field(1, ge=1, description="GPUs that sample at once; `redink run` uses one.")
    usd_per_gpu_hour: Decimal | None = Field(None, ge=0, allow_inf_nan=False, description="What a GPU costs.")
    shape: str = Field("", description="The student's shape where it is not known: 'layers=28,hidden=3584,…'.")
    chars_per_token: float = Field(3.8, gt=0, description="For prompts, where there is no tokenizer at hand.")
    reserve: float = Field(0.1, ge=0, lt=1, description="Share of a GPU's memory that is left free.")
    lengths: PlanLengths = Field(default_factory=PlanLengths, description="Tokens per row.")
    shares: PlanShares = Field(default_factory=PlanShares, description="What becomes of the rows.")
    speeds: PlanSpeeds = Field(default_factory=PlanSpeeds, description="How fast it goes.")
    calls: dict[str, PlanCalls] = Field(
        default_factory=dict,
        description="Calls that were measured, as 'thoughts.teacher', 'corrections.inspector', 'long_chains.teacher' "
        "or 'refinement.teacher'. They go before what follows from prompts and lengths.",
    )


class RunRecipe(Row):
    """What every run directory is told, whatever is done in it."""

    may_change: ClassVar[tuple[str, ...]] = MAY_CHANGE

    name: str = Field("run", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="The run directory's name.")
    seed: int = Field(0, ge=0)
    teacher: TeacherRecipe = Field(default_factory=TeacherRecipe)
    inspector: TeacherRecipe = Field(default_factory=TeacherRecipe)
    prompts: PromptsRecipe = Field(default_factory=PromptsRecipe)
    budget: BudgetRecipe = Field(default_factory=BudgetRecipe)
    engine: EngineSettings = Field(
        default_factory=EngineSettings, description="Who samples and grades: this process, or a Ray cluster."
    )
    journal: str = Field(
        "",
        description="File of bought replies, which runs may share; empty: the run's own. A relative path lies beside "
        "the run directories.",
    )


class Recipe(RunRecipe):
    """A run of one method: SuperCorrect, ORION, both, or a baseline."""

    may_change: ClassVar[tuple[str, ...]] = (*MAY_CHANGE, "evaluation", "plan")

    method: Literal[
        "supercorrect", "orion", "orion-supercorrect", "hsft", "sft", "long-sft", "dpo", "step-dpo", "reflexion"
    ] = Field("supercorrect", description="What is done with the student; see docs/orion.md.")
    style: Style = Field("xml", description='How thoughts are written (table 8); only `method = "hsft"` has others.')
    student: str = Field("bundled", description="bundled, smollm2, a local folder or a hub id.")
    problems: ProblemsRecipe
    sampling: SamplingRecipe = Field(default_factory=SamplingRecipe)
    hsft: HSFTSettings = Field(default_factory=HSFTSettings)
    review: ReviewRecipe = Field(default_factory=ReviewRecipe)
    pairs: PairsRecipe = Field(default_factory=PairsRecipe)
    cross_dpo: CrossDPOSettings = Field(default_factory=CrossDPOSettings)
    rounds: int = Field(
        1,
        ge=1,
        description="Not in the paper. Attempts, corrections, pairs and Cross-DPO so many times, each with the last "
        "student.",
    )
    redraw: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Share of the error set that a later round draws, by where the student still fails.",
    )
    exposure: ExposureRecipe = Field(default_factory=ExposureRecipe)
    refinement: RefinementRecipe = Field(default_factory=RefinementRecipe)
    reflexion: ReflexionRecipe = Field(default_factory=ReflexionRecipe)
    evaluation: RepeatsRecipe = Field(default_factory=RepeatsRecipe)
    store: StoreRecipe = Field(
        default_factory=StoreRecipe, description="How `redink reproduce` measures a store of thoughts."
    )
    plan: PlanRecipe = Field(default_factory=PlanRecipe, description="What `redink plan` assumes; see docs/plan.md.")

    @field_validator("style")
    @classmethod
    def _style_of_method(cls, style: Style, info: ValidationInfo) -> Style:
        if style != "xml" and info.data.get("method") != "hsft":
            raise PydanticCustomError("style", "errors are located in 'xml' only; others need method = \"hsft\"")
        return style

    def limited(self, limit: int) -> Recipe:
        """The same recipe with at most `limit` problems in each set."""
        sizes = {name: min(limit, getattr(self.problems, name)) for name in ("thoughts", "errors", "evaluation")}
        return self.model_copy(update={"problems": self.problems.model_copy(update=sizes)})


class EvaluationRecipe(RunRecipe):
    """What `redink evaluate` is told. Students, benchmarks and repeats may grow in one run directory."""

    may_change: ClassVar[tuple[str, ...]] = (
        *MAY_CHANGE, "students", "benchmarks", "repeats", "ks", "teacher", "inspector", "prompts",
    )  # fmt: skip

    students: tuple[str, ...] = Field(min_length=1, description="bundled, smollm2, local folders or hub ids.")
    benchmarks: tuple[str, ...] = Field(min_length=1, description="Sources of problems; see `redink problems`.")
    split: str = Field("test", description="The split of published sets.")
    limit: int | None = Field(None, ge=1, description="The first so many problems of each benchmark; None: all.")
    checker: str = Field("math", description="Who says what is right (redink.answers.checkers).")
    prompt: str = Field("", description="How to ask; empty: hierarchical, compact for a student without chat template.")
    correct: str = Field("", description="How to ask for the review; empty: as `prompt`.")
    results_only: bool = Field(False, description="Reviewers see each step's set-up and result, without its <Key>.")
    repeats: int = Field(0, ge=0, description="Solutions drawn per problem beside the greedy one.")
    temperature: float = Field(0.7, gt=0, description="Temperature of the repeats.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus of the repeats.")
    ks: tuple[int, ...] = Field((), description="The k of pass@k and maj@k; (): the powers of two up to `repeats`.")
    max_new_tokens: int = Field(1024, ge=1, description="Longest solution and longest review.")
    batch_rows: int = Field(32, ge=1, description="Rows per generation batch.")

    @property
    def identity(self) -> dict[str, Any]:
        """What the stored attempts depend on: everything but the name and what may change."""
        return self.model_dump(mode="json", exclude={"name", *(key for key in self.may_change if "." not in key)})


def evaluation_recipe(teacher: str, values: dict[str, Any], max_usd: float | None = None) -> EvaluationRecipe:
    """The recipe of an evaluation in which `teacher` locates the errors: 'reference', or a recipe by name or path.

    Without a name in `values` it is made of the settings that the stored replies depend on.
    Raises `BadRecipe` for a value that does not fit.
    """
    taught: dict[str, Any] = {"inspector": TeacherRecipe(kind="none")}
    if teacher != "reference":
        other = load_recipe(teacher)
        taught = {key: getattr(other, key) for key in ("teacher", "inspector", "prompts", "budget", "journal")}
    if max_usd is not None:
        taught["budget"] = BudgetRecipe(max_usd=Decimal(str(max_usd)))
    given = {key: value for key, value in values.items() if value is not None}
    made = _made(EvaluationRecipe, taught | given, "redink evaluate")
    if "name" in given:
        return made
    digest = hashlib.sha256(json.dumps(made.identity, sort_keys=True).encode()).hexdigest()[:8]
    return made.model_copy(update={"name": f"evaluate-{digest}"})


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe by bundled name ('demo') or path, with `key.sub=value` overrides (values as in TOML).

    Raises `BadRecipe` for an unknown key (with the nearest known one) or a value that does not fit, and
    `BadInput` for a file that is missing or is not TOML.
    """
    values = recipe_values(name)
    for setting in overrides:
        override(values, setting)
    return validated(values, name)


def recipe_values(name: str) -> dict[str, Any]:
    """The table of values of a recipe as its file states them; raises `BadInput` as `load_recipe`."""
    path, text = _read(name)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as failure:
        raise BadInput(path, f"is not TOML ({failure}).", "See recipes/demo.toml for the form.") from None


def validated(values: dict[str, Any], path: str) -> Recipe:
    """The recipe of a table of values; raises `BadRecipe` naming `path` and the key."""
    _refuse_unknown(values, Recipe, path, ())
    return _made(Recipe, values, path)


def _made(kind: type[P], values: dict[str, Any], path: str) -> P:
    try:
        return kind.model_validate(values)
    except ValidationError as failure:
        first = failure.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BadRecipe(f"{path}: {key}: {first['msg']}.", f"It is {first['input']!r}.") from None


def kept_recipe(folder: Path) -> Recipe | EvaluationRecipe:
    """The recipe that a run directory was made by; raises `BadInput` if `folder` is none, or its recipe is not read."""
    path = folder / "recipe.json"
    try:
        values = json.loads(path.read_text("utf-8"))
        kind: type[Recipe | EvaluationRecipe] = EvaluationRecipe if "benchmarks" in values else Recipe
        return kind.model_validate(values)
    except FileNotFoundError:
        raise BadInput(folder, "is no run directory (no recipe.json).", "Name one such as runs/demo.") from None
    except (OSError, ValueError, TypeError):
        raise BadInput(path, "cannot be read as a recipe.", "Was it made by another version of redink?") from None


def bundled_recipes() -> list[str]:
    """Names of the recipes inside the package."""
    return sorted(entry.name.removesuffix(".toml") for entry in _folder().iterdir() if entry.name.endswith(".toml"))


def bundled_text(path: str) -> str:
    """A file among the bundled recipes, by its path in their folder; raises `OSError` if there is none."""
    return _folder().joinpath(path).read_text("utf-8")


def _folder() -> Traversable:
    """The recipes in the wheel, or those of the checkout that this module lies in."""
    packaged = resources.files("redink") / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "recipes"


def _read(name: str) -> tuple[str, str]:
    if not name.endswith(".toml") and name in bundled_recipes():
        return name, (_folder() / f"{name}.toml").read_text("utf-8")
    try:
        return name, Path(name).read_text("utf-8")
    except UnicodeDecodeError:
        raise BadInput(name, "is not UTF-8 text.", "Save the recipe as UTF-8.") from None
    except OSError as failure:
        near = difflib.get_close_matches(Path(name).stem, bundled_recipes(), 1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Bundled recipes: {', '.join(bundled_recipes())}."
        raise BadInput(name, f"the recipe cannot be read ({failure.strerror}).", hint) from None


def override(values: dict[str, Any], setting: str) -> None:
    """Put one `key.sub=value` (the value as in TOML) into a table of values; raises `BadRecipe` for another form."""
    key, equals, text = setting.partition("=")
    if not equals or not key.strip():
        raise BadRecipe(f"--set {setting}: is not of the form key.sub=value.", "For example --set hsft.epochs=2")
    *parents, last = key.strip().split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise BadRecipe(f"--set {setting}: '{parent}' is not a table.", "")
    values[last] = _toml_value(text.strip())


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _refuse_unknown(values: dict[str, Any], model: type[BaseModel], path: str, above: tuple[str, ...]) -> None:
    for key, value in values.items():
        if key not in model.model_fields:
            near = difflib.get_close_matches(key, model.model_fields, 1, cutoff=0.5)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known keys: {', '.join(model.model_fields)}."
            raise BadRecipe(f"{path}: unknown key '{'.'.join((*above, key))}'.", hint)
        inner = _table_of(model.model_fields[key].annotation)
        if inner is not None and isinstance(value, dict):
            _refuse_unknown(value, inner, path, (*above, key))


def _table_of(annotation: Any) -> type[BaseModel] | None:
    options = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)

"""Rows, calls, tokens and dollars of every method by hand; warnings with remedies; beside runs that were measured."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from redink.failures import BadInput
from redink.pipelines.methods import METHODS
from redink.planning.measured import Measured, kind_of, measure
from redink.planning.methods import PLANS, wrong_kept
from redink.planning.plan import Plan, plan_recipe, scaled
from redink.planning.sheet import Work
from redink.planning.tables import assumption_table, beside_table, plan_tables, scale_table
from redink.recipe import Recipe, load_recipe

RUNS = Path(__file__).parent / "measured"
PRICE = {"prompt": "2", "completion": "8", "batch_discount": "0.5"}
SHARES = {
    "sampled_right": 0.6, "base_right": 0.5, "taught_right": 0.6, "preferred_right": 0.8, "thoughts": 0.9,
    "located": 0.75, "pairs": 0.8, "false_alarms": 0.1, "rounds": 1.5, "tries": 1.0, "exposed": 0.5, "chains": 0.8,
    "rewritings": 0.5,
}  # fmt: skip


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "student": "bundled",
        "problems": {"sources": ["stories"], "thoughts": 1000, "errors": 400, "evaluation": 100},
        "prompts": {"base": "compact/solve", "solve": "compact/solve_hierarchical", "correct": "compact/correct"},
        "plan": {"hardware": "cpu:2", "shares": SHARES},
    }
    return Recipe.model_validate({**values, **changes})


def work_of(plan: Plan) -> dict[str, Work]:
    return {work.stage: work for work in plan.work}


def chat(**changes: Any) -> dict[str, Any]:
    return {"kind": "openai", "model": "m", "price": PRICE, **changes}


def test_rows_of_supercorrect_by_hand() -> None:
    work = work_of(plan_recipe(recipe(pairs={"confirmations": 2})))
    rows = {stage: (each.rows, each.out) for stage, each in work.items()}
    assert rows["thoughts"] == (1000, 900)
    assert rows["hsft"] == (900, 900)
    assert rows["attempts"] == (400, 400)
    assert rows["corrections"] == (160, 120)  # 400 · 0.4 wrong, of which 0.75 located
    assert rows["own_corrections"] == (120, 120)
    assert rows["pairs"] == (120, 96)
    assert rows["alarms"] == (240, 240)  # of 240 right ones as many as corrections, twice each
    assert rows["confirmations"] == (240, 24)
    assert rows["cross_dpo"] == (120, 120)
    assert rows["evaluate.base.corrections"] == (50, 38)
    assert rows["evaluate.cross_dpo.corrections"] == (20, 15)


def test_counterparts_by_hand() -> None:
    """As many right attempts as corrections, 120; half of the other steps of a right solution stand before any of its
    steps, and half of the step itself is begun: (90 − 20)/2 = 35 and 10 tokens.
    """
    lengths = {"step": 20, "alarm": 90, "rejected": 30, "chosen": 40, "prefix": 50, "question": 5, "shown": 15}
    plan = {"hardware": "cpu:2", "shares": {**SHARES, "counterparts": 0.9}, "lengths": lengths}
    without, made = (
        work_of(plan_recipe(recipe(pairs={"counterparts": on}, cross_dpo={"epochs": 1}, plan=plan)))
        for on in (False, True)
    )
    assert set(made) - set(without) == {"made_alarms", "counterparts"}
    assert (made["made_alarms"].rows, made["made_alarms"].tokens_out, made["made_alarms"].calls) == (120, 120 * 30, 0)
    own = made["own_corrections"]  # the same prompt, with 50 tokens of steps before
    assert own.tokens_in - made["made_alarms"].tokens_in == 120 * (50 - 35 - 10)
    assert (made["counterparts"].rows, made["counterparts"].out) == (120, 108)
    assert (without["cross_dpo"].rows, made["cross_dpo"].rows) == (96, 96 + 108)
    asked = own.tokens_in / 120 - 50
    assert without["cross_dpo"].tokens_in == 96 * (asked + 50 + 40 + 30)
    assert made["cross_dpo"].tokens_in - without["cross_dpo"].tokens_in == 108 * (asked + 35 + 20 + 10 + 30)
    assert sum(work.calls for work in made.values()) == 0, "no teacher is asked"


def test_counterparts_are_no_more_than_right_attempts_and_come_in_every_round() -> None:
    plan = {"hardware": "cpu:2", "shares": {**SHARES, "sampled_right": 0.1}}
    work = work_of(plan_recipe(recipe(pairs={"counterparts": True}, rounds=2, plan=plan)))
    assert (work["corrections"].out, work["made_alarms"].rows) == (270, 40)
    assert work["round2.made_alarms"].rows == 20
    assert work["round2.counterparts"].rows == 20


@pytest.mark.parametrize("gold", [{"gold_review": 100}, {"base_solution": 10}])
def test_replayed_gold_solutions_change_lengths_not_rows(gold: dict[str, float]) -> None:
    """Of 450 reviews a fifth is of golds: 5 tokens shorter to read, 60 longer to write, which HSFT reads twice.

    Where it is not known how long they are: 40 · 25/10 = 100, as the golds are longer than what the base writes.
    """
    lengths = {"shown": 30, "plain_chain": 25, "base_review": 40, **gold}
    own, mixed = (
        work_of(plan_recipe(recipe(
            hsft={"replay": 0.5, "replay_gold": share, "epochs": 2},
            plan={"hardware": "cpu:2", "shares": SHARES, "lengths": lengths},
        )))
        for share in (0.0, 0.2)
    )  # fmt: skip
    assert {stage: work.rows for stage, work in own.items()} == {stage: work.rows for stage, work in mixed.items()}
    assert mixed["replay.reviews"].tokens_out - own["replay.reviews"].tokens_out == 90 * 60
    assert mixed["replay.reviews"].tokens_in - own["replay.reviews"].tokens_in == 90 * -5
    assert mixed["hsft"].tokens_in - own["hsft"].tokens_in == 2 * 90 * (60 - 5)


def test_replayed_reviews_are_sampled_and_learnt() -> None:
    work = work_of(plan_recipe(recipe(hsft={"replay": 0.5, "batch_size": 10, "epochs": 2})))
    assert (work["replay.attempts"].rows, work["replay.reviews"].rows, work["hsft"].rows) == (450, 450, 1350)
    assert work["hsft"].steps == 2 * 135


def test_later_rounds_scout_and_draw_a_share() -> None:
    work = work_of(plan_recipe(recipe(rounds=2, redraw=0.5)))
    assert work["round2.scout"].rows == 400
    assert work["round2.attempts"].rows == 200
    assert {"cross_dpo_2", "evaluate.cross_dpo_2.attempts"} <= work.keys()


@pytest.mark.parametrize(
    ("samples", "per_problem", "kept"),
    [(1, 1, 40.0), (3, 1, 100 * (1 - 0.6**3)), (2, 2, 80.0), (2, 1, 64.0)],
)
def test_wrong_solutions_that_are_kept(samples: int, per_problem: int, kept: float) -> None:
    assert wrong_kept(100, samples, 0.6, per_problem) == pytest.approx(kept)


def test_calls_tokens_and_dollars_by_hand() -> None:
    calls = {"per_row": 2, "prompt": 500, "completion": 100}
    plan = plan_recipe(
        recipe(
            method="hsft",
            teacher=chat(),
            plan={"hardware": "cpu:2", "shares": SHARES, "calls": {"thoughts.teacher": calls}},
        )
    )
    thoughts = work_of(plan)["thoughts"]
    assert (thoughts.calls, thoughts.tokens_in, thoughts.tokens_out) == (2000, 1_000_000, 200_000)
    assert thoughts.usd == Decimal("3.6")  # 1M · $2 + 0.2M · $8


def test_rounds_and_tries_multiply_the_calls_of_both() -> None:
    plan = plan_recipe(recipe(method="hsft", teacher=chat(), inspector=chat()))
    thoughts = work_of(plan)["thoughts"]
    assert thoughts.calls == 2 * 1500
    assert thoughts.tokens_out == 1500 * 420 + 1500 * 60
    alone = plan_recipe(recipe(method="hsft", teacher=chat(), inspector={"kind": "none"}))
    assert work_of(alone)["thoughts"].calls == 1000


def test_a_batch_costs_half_and_takes_hours() -> None:
    online, batch = (plan_recipe(recipe(method="hsft", teacher=chat(batch=b))) for b in (False, True))
    assert online.usd is not None
    assert batch.usd == online.usd / 2
    assert work_of(batch)["thoughts"].seconds == 6 * 3600


def test_a_missing_price_is_said_not_taken_for_nothing() -> None:
    plan = plan_recipe(recipe(teacher=chat(price=None)))
    assert plan.usd is None
    assert any("--set teacher.price.prompt" in line for line in plan.warnings)


def test_a_budget_that_will_not_do_is_said() -> None:
    plan = plan_recipe(recipe(teacher=chat(), budget={"max_usd": "0.01"}))
    assert any("budget.max_usd = 0.01" in line for line in plan.warnings)


def test_every_method_has_a_plan() -> None:
    assert set(PLANS) == set(METHODS)


@pytest.mark.parametrize("method", PLANS)
def test_a_plan_evaluates_and_trains_every_model_of_its_method(method: str) -> None:
    plan = plan_recipe(recipe(method=method))
    evaluated = {work.stage.split(".")[1] for work in plan.work if work.stage.endswith(".perplexity")}
    assert evaluated == set(METHODS[method].models(recipe(method=method)))
    trained = {work.stage for work in plan.work if work.kind == "training"}
    assert trained == evaluated - {"base", "reflexion"}
    assert len(work_of(plan)) == len(plan.work)
    assert plan.seconds > 0


@pytest.mark.parametrize(
    ("section", "changes", "stages"),
    [
        ("exposure", {"by": "trained"}, {"exposure.pairs", "error_prone", "exposure.trained_attempts"}),
        ("exposure", {"strategy": "probable"}, {"exposure.scores"}),
        ("refinement", {"by": "teacher"}, {"refinement", "refinement.scores"}),
        ("refinement", {"by": "rule"}, {"exposure.corrections", "refinement"}),
        ("refinement", {"by": "student", "tries": 3}, {"refinement"}),
    ],
)
def test_variants_of_orion(section: str, changes: dict[str, Any], stages: set[str]) -> None:
    assert stages <= work_of(plan_recipe(recipe(method="orion", **{section: changes}))).keys()


def test_orion_by_hand() -> None:
    work = work_of(plan_recipe(recipe(method="orion", exposure={"samples": 4}, refinement={"tries": 2})))
    assert work["long_chains"].out == 800
    assert work["exposure.attempts"].out == 3200
    assert work["refinement"].out == 1600
    assert work["refinement.scores"].rows == 800
    assert work["refined"].out == 600  # 800 · (1 − 0.5²)
    assert work["orion"].rows == 800


def test_reflexion_reflects_and_tries_again_so_many_times() -> None:
    work = work_of(plan_recipe(recipe(method="reflexion", reflexion={"trials": 2})))
    reflections = {f"evaluate.reflexion.reflections.{n}" for n in (0, 1)}
    assert {"evaluate.reflexion.retries.0", "evaluate.reflexion.reviews", *reflections} <= work.keys()


def test_a_measured_rate_sets_the_time() -> None:
    rates = {"solve": 100.0, "solve.base": 50.0, "supervised": 1000.0}
    plan = plan_recipe(
        recipe(
            plan={"hardware": "cpu:2", "shares": SHARES, "speeds": {"rates": rates}}, sampling={"max_new_tokens": 10}
        )
    )
    work = work_of(plan)
    assert work["attempts"].seconds == 400 * 10 / 100
    assert work["evaluate.base.attempts"].seconds == 100 * 10 / 50
    assert work["hsft"].seconds == pytest.approx(work["hsft"].tokens_in / 1000, rel=1e-6)


def seven_billion(**changes: Any) -> Recipe:
    return recipe(student="Qwen/Qwen2.5-Math-7B-Instruct", **changes)


@pytest.mark.parametrize(
    ("hardware", "hsft", "said"),
    [
        ("8xA100-40GB", {"gradient_checkpointing": True, "batch_size": 64, "accumulation": 2, "max_length": 4096},
         r"hsft: batch_size = 64 needs .* Of hsft, set batch_size = \d+, accumulation = \d+\."),
        ("A100-40GB", {"gradient_checkpointing": True}, r"hsft: .*Train adapters"),
        ("8xA100-40GB", {"batch_size": 64, "max_length": 65536}, r"hsft: .*Set hsft.gradient_checkpointing = true"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_with_what_would(hardware: str, hsft: dict[str, Any], said: str) -> None:
    lengths = {"thought": 20_000} if hsft.get("max_length", 0) > 10_000 else {}
    plan = plan_recipe(seven_billion(hsft=hsft, plan={"hardware": hardware, "lengths": lengths}))
    assert any(re.search(said, line) for line in plan.warnings), plan.warnings


def test_the_paper_fits_on_its_hardware() -> None:
    plan = plan_recipe(load_recipe("paper-7b", ['plan.hardware="8xA100-40GB"']))
    trainings = [work for work in plan.work if work.kind == "training"]
    assert [work.stage for work in trainings] == ["hsft", "cross_dpo"]
    assert all(work.memory < 0.9 * plan.memory and work.fits for work in trainings)
    assert not any("GiB" in line for line in plan.warnings)
    assert plan.gpu_hours > 0


def test_lengths_that_limits_cut_are_said() -> None:
    plan = plan_recipe(recipe(sampling={"max_new_tokens": 100}, hsft={"max_length": 64}))
    cut = next(line for line in plan.warnings if "sampling.max_new_tokens = 100 cuts them" in line)
    assert cut.startswith("attempts: replies of 420 tokens")
    assert any("hsft: rows of" in line and "max_length = 64" in line for line in plan.warnings)


def test_ten_times_the_problems() -> None:
    ten = scaled(recipe(), 10).problems
    assert (ten.thoughts, ten.errors, ten.evaluation) == (10_000, 4_000, 100)
    plans = [(factor, plan_recipe(scaled(recipe(), factor))) for factor in (1.0, 10.0)]
    assert [row[:3] for row in scale_table(plans).rows] == [("×1", "1k", "96"), ("×10", "10k", "960")]


# -------------------------------------------------------------------- beside what was measured


def kept(name: str) -> tuple[Recipe, Measured]:
    """A run of the demo on two busy cores: its recipe, and what `measure` read of it."""
    values = json.loads((RUNS / f"{name}.json").read_text())
    return Recipe.model_validate(values["recipe"]), Measured.model_validate(values["measured"])


def together(plan: Plan, measured: Measured) -> tuple[tuple[float, float], ...]:
    """Rows, tokens (of what the student samples and learns) and seconds in all: planned, and measured."""
    did = {stage.stage: stage for stage in measured.stages}
    both = [(work, did[work.stage]) for work in plan.work if work.stage in did]
    counted = [(work, stage) for work, stage in both if work.kind in ("sampling", "training")]
    tokens = sum(work.tokens_in if work.kind == "training" else work.tokens_out for work, _ in counted)
    return (
        (sum(work.rows for work, _ in both), sum(stage.rows for stage in measured.stages)),
        (tokens, sum(stage.tokens or 0 for _, stage in counted)),
        (sum(work.seconds for work, _ in both), sum(stage.seconds or 0 for stage in measured.stages)),
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("earlier", "later"),  # the same sizes, other seeds
        ("small", "large"),  # 200 problems in each set, then 600 (400 in the evaluation)
        ("orion-small", "orion-large"),  # 100 problems in each set, then 300
    ],
)
def test_a_plan_made_from_one_run_is_within_a_quarter_of_another(before: str, after: str) -> None:
    (_, known), (wanted, run) = kept(before), kept(after)
    plan = plan_recipe(wanted, known)
    assert {stage.stage for stage in run.stages} <= work_of(plan).keys()
    for planned, measured in together(plan, run):
        assert planned == pytest.approx(measured, rel=0.25)


def test_counterparts_and_replayed_golds_beside_a_run_that_had_both() -> None:
    """From a run of the same sizes with counterparts, without golds; times are those of other loads."""
    (_, known), (wanted, run) = kept("counterparts"), kept("counterparts-gold")
    plan = plan_recipe(wanted, known)
    work, did = work_of(plan), {stage.stage: stage for stage in run.stages}
    assert did.keys() <= work.keys()
    for planned, measured in together(plan, run)[:2]:
        assert planned == pytest.approx(measured, rel=0.1)
    for stage in ("made_alarms", "replay.reviews", "hsft", "cross_dpo"):
        tokens = work[stage].tokens_in if work[stage].kind == "training" else work[stage].tokens_out
        assert work[stage].rows == pytest.approx(did[stage].rows, rel=0.25), stage
        assert tokens == pytest.approx(did[stage].tokens, rel=0.25), stage
    assert work["counterparts"].out == pytest.approx(did["counterparts"].out, rel=0.25)
    assert known.lengths.keys() | {"gold_review"} == run.lengths.keys()


def test_each_stage_of_another_seed_is_within_a_quarter() -> None:
    (_, known), (wanted, run) = kept("earlier"), kept("later")
    work = work_of(plan_recipe(wanted, known))
    for stage in run.stages:
        if stage.rows >= 100:
            assert work[stage.stage].rows == pytest.approx(stage.rows, rel=0.25), stage.stage


def test_what_was_measured_stands_before_the_recipe_and_what_is_given_before_both() -> None:
    _, earlier = kept("earlier")
    plan = recipe(plan={"shares": {"located": 0.5, "pairs": 0.5}, "speeds": {"rates": {"solve": 7}}}).plan
    assumed = earlier.assumed(plan, given={"shares.located", "speeds.rates.solve"})
    assert (assumed.shares.located, assumed.shares.pairs) == (0.5, earlier.shares["pairs"])
    assert (assumed.speeds.rates["solve"], assumed.speeds.rates["review"]) == (7, earlier.rates["review"])
    assert earlier.assumed(plan, speeds=False).speeds.rates == {"solve": 7}
    assert not {"shares.located", "speeds.rates.solve"} & set(earlier.keys(given={"shares.located", "speeds"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [({"student": "Qwen/Qwen2.5-7B"}, "had another student"), ({"plan": {"hardware": "H200"}}, "not on H200")],
)
def test_speeds_of_another_student_or_machine_are_not_used(change: dict[str, Any], said: str) -> None:
    _, earlier = kept("earlier")
    plan = plan_recipe(recipe(**{"plan": {}, **change}), earlier)
    assert said in " ".join(plan.notes)
    assert not plan.assumed.speeds.rates


def test_what_was_measured_just_now_stands_before_an_earlier_run() -> None:
    _, earlier = kept("earlier")
    wanted = recipe(plan={"speeds": {"rates": {"review": 3.0}}})
    plan = plan_recipe(wanted, earlier, {"solve": 5.0, "review": 5.0}, {"speeds.rates.review"})
    rates = plan.assumed.speeds.rates
    assert (rates["solve"], rates["review"]) == (5, 3)
    assert "solve.base" not in rates
    assert rates["supervised"] == earlier.rates["supervised"]
    elsewhere = plan_recipe(recipe(plan={"hardware": "H200"}), None, {"solve": 5.0})
    assert not elsewhere.assumed.speeds.rates
    assert "not H200" in " ".join(elsewhere.notes)


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no run directory"):
        measure(tmp_path)
    (tmp_path / "recipe.json").write_text(recipe().model_dump_json())
    with pytest.raises(BadInput, match="no finished stage"):
        measure(tmp_path)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [
        ("round2.scout", "solve"), ("replay.reviews", "review"), ("evaluate.hsft.given_location", "own_step"),
        ("evaluate.reflexion.reviews", "solve"), ("evaluate.reflexion.reflections.0", "reflect"),
        ("evaluate.base.corrections", "teach"), ("refinement", "rewrite"), ("refinement.scores", "score"),
        ("hsft", None), ("pairs", None),
    ],
)  # fmt: skip
def test_the_kind_of_a_stage(stage: str, kind: str | None) -> None:
    assert kind_of(stage, recipe()) == kind


def test_tables_say_what_a_plan_holds() -> None:
    _, earlier = kept("earlier")
    plan = plan_recipe(recipe(), earlier)
    stages, trainings = plan_tables(plan)
    assert stages.rows[0][:4] == ("thoughts", "rule", "1k", "1k")
    assert stages.rows[-1][0] == "in all"
    assert [row[0] for row in trainings.rows] == ["hsft", "cross_dpo"]
    assert len(plan_tables(plan, every_stage=True)[0].rows) > len(stages.rows)
    sources = {row[0]: row[2] for row in assumption_table(plan).rows}
    assert sources["plan.lengths.thought"] == "measured"
    assert sources["plan.shares.chains"] == "given"
    assert sources["plan.lengths.verdict"] == "default"
    beside = {row[0]: row for row in beside_table(plan, earlier).rows}
    assert beside["thoughts"][1:4] == ("1k", "2.4k", "0.42")

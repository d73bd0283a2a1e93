"""Model and dataset cards, written from what a run is and has measured: nothing in them is typed in by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from huggingface_hub import DatasetCardData, EvalResult, ModelCardData
from huggingface_hub.repocard_data import CardData

from redink.evaluation.panel import Panel
from redink.models.bundled import ARCHITECTURES, NAMED, SMOLLM2
from redink.pipelines.results import main_table
from redink.pipelines.tables import as_markdown
from redink.recipe import Recipe
from redink.sharing.runs import SharedRun, is_local, public_name
from redink.types import StageCounts

LICENCES = dict.fromkeys(NAMED, "apache-2.0")
HUB_IDS = {SMOLLM2: "HuggingFaceTB/SmolLM2-135M-Instruct"}
PAPERS = {
    "SuperCorrect": "https://arxiv.org/abs/2410.09008",
    "ORION": "https://arxiv.org/abs/2505.22131",
    "Step-DPO": "https://arxiv.org/abs/2406.18629",
}
_PAPERS_OF = {"orion": ("ORION",), "orion-supercorrect": ("SuperCorrect", "ORION"), "step-dpo": ("Step-DPO",)}
_TITLES = {
    "thoughts": "hierarchical thoughts (problem, steps with keys, generalized thought, answer)",
    "chains": "chains of thought to learn",
    "corrections": "correction traces (the first wrong step, its cause and its correction)",
    "pairs": "preference pairs that share a prompt and the right steps before the error",
    "attempts": "a student's solutions with verdicts",
}


@dataclass(frozen=True)
class ModelOrigin:
    """Where a model comes from: `student` loads it, `run` is None for a model that no run made."""

    student: str
    name: str
    run: SharedRun | None
    licence: str | None
    base_model: str | None


def hub_id(student: str) -> str | None:
    """The id on the hub of a student, None for one that is on no hub."""
    return HUB_IDS.get(student) or (None if student in ARCHITECTURES or is_local(student) else student)


def adapter_base(origin: ModelOrigin) -> str | None:
    """What PEFT is told to load below an adapter."""
    assert origin.run is not None
    return origin.base_model or hub_id(origin.run.recipe.student)


# ------------------------------------------------------------------ model cards


def model_card(origin: ModelOrigin, form: str, checks: Sequence[str]) -> str:
    """README.md of a model: metadata for the hub, then data, recipe, results with intervals, and limits."""
    parts = [_model_data(origin, form), f"# {_title(origin)}", _what_it_is(origin), _use(origin, form)]
    if origin.run is not None:
        run, recipe = origin.run, origin.run.recipe
        parts += [_data(run), _training(run, origin.name), _results(run, origin.name), _limits(recipe)]
        parts += [_versions(run), _citation(recipe)]
    parts.append("## How this copy was checked\n\n" + "\n".join(f"- {check}." for check in checks))
    return "\n\n".join(filter(None, parts)) + "\n"


def _header(data: CardData) -> str:
    return f"---\n{data.to_yaml()}\n---"


def _title(origin: ModelOrigin) -> str:
    return f"{origin.run.recipe.name}: {origin.name}" if origin.run else origin.name


def _model_data(origin: ModelOrigin, form: str) -> str:
    run = origin.run
    student = run.recipe.student if run else origin.student
    panel = _panel(run, origin.name)
    data = ModelCardData(
        license=origin.licence or LICENCES.get(student),
        base_model=origin.base_model or hub_id(student),
        library_name={"adapter": "peft", "gguf": "gguf"}.get(form, "transformers"),
        pipeline_tag="text-generation",
        language="en",
        tags=["redink", "math", "reasoning", *([run.recipe.method, "self-correction"] if run else [])],
        model_name=_title(origin),
        eval_results=_eval_results(run, panel) if run and panel else None,
    )
    return _header(data)


def _panel(run: SharedRun | None, model: str) -> Panel | None:
    found = run.results() if run else None
    return next((panel for panel in found.panels if panel.model == model), None) if found else None


def _eval_results(run: SharedRun, panel: Panel) -> list[EvalResult]:
    sources = evaluation_sources(run.recipe)
    named = (("t1", "before self-correction", panel.accuracy_t1), ("t2", "after self-correction", panel.accuracy_t2))
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=sources[0] if len(sources) == 1 else "mixed",
            dataset_name=", ".join(sources),
            metric_type="accuracy",
            metric_name=f"accuracy {when} ({note}), %; 95 % interval {100 * found.low:.1f} to {100 * found.high:.1f}",
            metric_value=round(100 * found.value, 1),
        )
        for when, note, found in named
        if found.value is not None and found.low is not None and found.high is not None
    ]


def evaluation_sources(recipe: Recipe) -> list[str]:
    """Where a run's evaluation problems come from."""
    return [public_name(name) for name in recipe.problems.evaluation_sources or recipe.problems.sources]


def _what_it_is(origin: ModelOrigin) -> str:
    if origin.run is None:
        return "A student that redink can load, exported as it is; it was not trained by a run of redink's."
    recipe = origin.run.recipe
    base = origin.base_model or hub_id(recipe.student) or f"the student {public_name(recipe.student)!r}"
    note = " (from its published 4-bit GGUF file, de-quantised)" if recipe.student == SMOLLM2 else ""
    return (
        f"{base}{note}, trained by redink with the method `{recipe.method}`; this is the model `{origin.name}` "
        f"of the run `{recipe.name}` (seed {recipe.seed})."
    )


def _use(origin: ModelOrigin, form: str) -> str:
    if form == "gguf":
        return "## Use\n\n```sh\nllama-cli -m *.gguf -p '…'\n```"
    if form == "adapter":
        known = hub_id(origin.run.recipe.student) if origin.run else None
        base = known or (public_name(origin.run.recipe.student) if origin.run else "base")
        code = (
            "from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
            f'base = AutoModelForCausalLM.from_pretrained("{base}")\n'
            'model = PeftModel.from_pretrained(base, "this repository")'
        )
        return f"## Use\n\n```python\n{code}\n```"
    code = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'tokenizer = AutoTokenizer.from_pretrained("this repository")\n'
        'model = AutoModelForCausalLM.from_pretrained("this repository")'
    )
    ask = 'redink solve --student "this folder" "…"'
    review = f"With the prompts it was trained on, and its own review:\n\n```sh\n{ask}\n```"
    return f"## Use\n\n```python\n{code}\n```\n\n{review}"


def _data(run: SharedRun) -> str:
    wanted, manifest = run.recipe.problems, run.manifest()
    prints = manifest.get("fingerprints", {})
    evaluated = f"{wanted.evaluation} from {', '.join(evaluation_sources(run.recipe))}"
    sources = ", ".join(map(public_name, wanted.sources))
    rows = [("what is taught", f"{wanted.thoughts} from {sources}", prints.get("thoughts")),
            ("where it errs", f"{wanted.errors} from {sources}", prints.get("errors")),
            ("evaluation, seen by no stage", evaluated, prints.get("evaluation"))]  # fmt: skip
    lines = ["## Data", "", "| set | problems | fingerprint |", "| --- | --- | --- |"]
    lines += [f"| {name} | {count} | {mark or '–'} |" for name, count, mark in rows]
    teacher = run.recipe.teacher
    who = "redink's rule-based teacher, offline" if teacher.kind == "reference" else f"`{teacher.model}`"
    return "\n".join([*lines, "", f"The sets are disjoint. Taught by {who}.", "", _books(run.counts())])


def _books(counts: Sequence[StageCounts]) -> str:
    """What became of every row, of the stages that made training data."""
    shown = [row for row in counts if not row.stage.startswith("evaluate.")]
    if not shown:
        return ""
    lines = ["| stage | inputs | accepted | rejected | quarantined |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [f"| {c.stage} | {c.inputs} | {c.accepted} | {c.rejected} | {c.quarantined} |" for c in shown]
    return "\n".join(lines)


def _training(run: SharedRun, model: str) -> str:
    recipe = run.recipe
    stages = {"hsft": recipe.hsft.model_dump(mode="json")}
    if len(run.lora(model)) > 1:
        stages["cross_dpo"] = recipe.cross_dpo.model_dump(mode="json")
    told = json.dumps(stages | {"prompts": _prompts(recipe)}, indent=2)
    did = run.report(model)
    line = f"\n\nThe last stage: {', '.join(f'{key} {value}' for key, value in did.items())}." if did else ""
    return f"## Recipe\n\n<details><summary>settings</summary>\n\n```json\n{told}\n```\n\n</details>{line}"


def _prompts(recipe: Recipe) -> dict[str, str]:
    return {key: public_name(value) if value.endswith(".md") else value for key, value in recipe.prompts}


def _results(run: SharedRun, model: str) -> str:
    found = run.results()
    if found is None:
        return "## Results\n\nThis run has measured nothing yet."
    shown = found.model_copy(update={"recipe": run.recipe.name})
    judged = run.recipe.problems.checker
    checker = judged if isinstance(judged, str) else json.dumps(judged, sort_keys=True)
    return f"## Results\n\n{as_markdown(main_table(shown))}\nJudged by the checker `{checker}`; this is `{model}`."


def _limits(recipe: Recipe) -> str:
    lines = [
        f"Measured on {', '.join(evaluation_sources(recipe))} only; other problems, languages and forms of question "
        "were not tried.",
        "Self-correction can break right answers (r→w above); no oracle tells it when to stop.",
        "It is a model of mathematical reasoning; nothing was done, or measured, for safety in other uses.",
    ]
    if recipe.student in ARCHITECTURES:
        lines.append(
            "The base is a model of under a million parameters for short story problems with small numbers: it shows "
            "the method at small scale, and no figure of it stands for the paper's."
        )
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _versions(run: SharedRun) -> str:
    versions: Mapping[str, Any] = run.manifest().get("versions", {})
    return "## Made with\n\n" + ", ".join(f"{name} {number}" for name, number in versions.items()) if versions else ""


def _citation(recipe: Recipe) -> str:
    names = _PAPERS_OF.get(recipe.method, ("SuperCorrect",))
    return "## Papers\n\n" + "\n".join(f"- {name}: {PAPERS[name]}" for name in names)


# ------------------------------------------------------------------ dataset cards


def dataset_card(
    run: SharedRun, files: Mapping[str, str], rows: Mapping[str, int], form: str, licence: str | None
) -> str:
    """README.md of data: `files` and `rows` by what they hold. Metadata names a configuration for each file."""
    configs = [{"config_name": what, "data_files": file} for what, file in files.items()]
    data = DatasetCardData(
        license=licence,
        language=["en"],
        annotations_creators=["machine-generated"],
        task_categories=["text-generation"],
        size_categories=[_size(sum(rows.values()))],
        pretty_name=f"{run.recipe.name}: training data by redink",
        configs=configs,
        tags=["redink", "math", "reasoning", run.recipe.method],
    )
    lines = ["| file | rows | what |", "| --- | ---: | --- |"]
    lines += [f"| {files[what]} | {rows[what]} | {_TITLES[what]} |" for what in files]
    made = (
        f"Made by redink in the run `{run.recipe.name}` (seed {run.recipe.seed}, method `{run.recipe.method}`), "
        f"in the form `{form}`. No problem of the run's evaluation set is in it."
    )
    licensing = "The questions and gold solutions are their sources' and stand under their licences."
    parts = [_header(data), f"# {data.pretty_name}", made, "\n".join(lines), _data(run), licensing]
    return "\n\n".join(filter(None, [*parts, _versions(run), _citation(run.recipe)])) + "\n"


def _size(rows: int) -> str:
    bounds = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for most, name in bounds if rows < most), "1M<n<10M")

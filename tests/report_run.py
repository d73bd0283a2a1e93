"""A small run directory made by hand, so that what a report shows of it can be counted on fingers; some of it hostile."""

from __future__ import annotations

import json
import os
from pathlib import Path

from redink.evaluation.statistics import paired_difference, proportion
from redink.rows import write_rows, write_text
from redink.types import (
    Attempt,
    CorrectionRow,
    CorrectionTrace,
    LocatedError,
    OwnCorrection,
    PreferencePair,
    Problem,
    Quarantined,
    Rejected,
    Review,
    Row,
    StageCounts,
    Step,
    Thought,
    ThoughtRow,
    Tried,
    Verdict,
)

RLO = "\u202e"
HOSTILE = {
    "script": "<script>window.pwned = 'script'</script>",
    "handler": "<img src=x onerror=\"window.pwned = 'handler'\">",
    "svg": "<svg onload=\"window.pwned = 'svg'\"><animate onbegin=\"window.pwned = 'begin'\"></svg>",
    "link": "<a href=\"javascript:window.pwned='link'\">here</a> javascript:window.pwned='text'",
    "ending": "</script></style></textarea></title>--><iframe srcdoc=\"<script>parent.pwned='frame'</script>\">",
    "entity": "&lt;b&gt; &amp;lt; &#x3C;script&#x3E;",
    "latex": r"$\frac{1}{$ and \(\href{javascript:window.pwned='katex'}{x}\) $\htmlStyle{color:red}{y}$ $\def\a{\a\a}\a$ $\includegraphics{http://evil.test/x.png}$",
    "turned": f"good {RLO}liveevil\u202c \u0000\u0007\u200b end",
    "surrogate": "lone \ud800 surrogate",
    "long": "A" * 1_000_000,
    "proto": "__proto__ constructor $& $1 %s {0} ${x}",
}
"""Texts that a page must show as text; each is the solution of a problem of its own."""
MODELS = ("base", "hsft", "cross_dpo")


def steps(*texts: str) -> tuple[Step, ...]:
    return tuple(Step(number=number, text=text) for number, text in enumerate(texts, start=1))


def verdict(right: bool) -> Verdict:
    return Verdict(outcome="right" if right else "wrong", method="exact")


def attempt(name: str, right: bool, *texts: str, answer: str = "7", sample: int = 0) -> Attempt:
    body = "\n".join(f"<Step{n}>{text}</Step{n}>" for n, text in enumerate(texts, start=1))
    return Attempt(
        problem_id=name, sample=sample, text=f"{body}\n<Answer>{answer}</Answer>", steps=steps(*texts), answer=answer,
        verdict=verdict(right),
    )  # fmt: skip


def review(name: str, right: bool, error: LocatedError | None = None, answer: str = "7") -> Review:
    text = "<Step1>3 + 4 = 8</Step1>\n<Answer>7</Answer>"
    return Review(problem_id=name, text=text, error=error, answer=answer, verdict=verdict(right))


def marked(step: int = 1) -> LocatedError:
    return LocatedError(step=step, cause="three and four are not eight", correction="3 + 4 = 7")


def correction(name: str, step: int = 1, rounds: int = 1, tries: tuple[Tried, ...] = ()) -> CorrectionRow:
    trace = CorrectionTrace(steps=steps("3 + 4 = 8", "so it is 8", "7"), error=marked(step), answer="7")
    return CorrectionRow(problem_id=name, trace=trace, rounds=rounds, tries=tries)


def problem(name: str, subject: str, question: str) -> Problem:
    return Problem(
        id=name, question=question, answer="7", solution="3 + 4 = 7", subject=subject, level="2", source="made"
    )


EVALUATION = {
    # problem: (subject, right at t1 and t2 for each model)
    "e/1": ("sums", ((False, True), (True, True), (True, True))),
    "e/2": ("sums", ((False, False), (True, False), (True, True))),
    "e/3": ("money", ((True, True), (True, True), (False, False))),
    "e/4": ("money", ((False, False), (False, False), (True, True))),
}
"""Four problems, three models. t1: base 1, HSFT 3, Cross-DPO 3 of 4; t2: base 2, HSFT 2, Cross-DPO 3 of 4."""


def make_run(folder: Path, name: str = "made", hostile: bool = True) -> Path:
    """Write the run directory."""
    write_text(folder / "recipe.json", json.dumps({"name": name, "seed": 5, "student": "bundled"}))
    write_text(folder / "manifest.json", json.dumps({"versions": {"redink": "0.1.0"}, "seeds": {"hsft": 1}}))
    _problems(folder, hostile)
    _lessons(folder)
    _mistakes(folder, hostile)
    for place, model in enumerate(MODELS):
        _evaluated(folder, model, place)
    _training(folder)
    _whole(folder)
    for number, path in enumerate(sorted(folder.rglob("*counts.json"))):
        os.utime(path, (1_700_000_000 + 60 * number,) * 2)
    for path in folder.glob("problems.*.jsonl"):
        os.utime(path, (1_700_000_000 - 60,) * 2)
    return folder


def _write(folder: Path, stage: str, *rows: Row, rejected: tuple[Row, ...] = (), held: tuple[Row, ...] = ()) -> None:
    write_rows(folder / f"{stage}.jsonl", rows)
    write_rows(folder / f"{stage}.rejected.jsonl", rejected)
    write_rows(folder / f"{stage}.quarantine.jsonl", held)
    reasons = {row.reason: 1 for row in (*rejected, *held) if isinstance(row, Rejected | Quarantined)}
    counts = StageCounts(
        stage=stage, inputs=len(rows) + len(rejected) + len(held), accepted=len(rows), rejected=len(rejected),
        quarantined=len(held), reasons=reasons,
    )  # fmt: skip
    write_text(folder / f"{stage}.counts.json", counts.model_dump_json())


def _problems(folder: Path, hostile: bool) -> None:
    evaluation = [
        problem(name, subject, f"What is three and four? ({name})") for name, (subject, _) in EVALUATION.items()
    ]
    errors = [
        problem("x/1", "algebra", r"Let $x^2 = \frac{49}{1}$ with \(x > 0\). What is x? It costs $5 and then $7 more."),
        problem("x/2", "algebra", "What is 3 + 4?"),
    ]
    evil = (
        [problem(f"evil/{name}", "hostile", _written(text)[:2000]) for name, text in HOSTILE.items()] if hostile else []
    )
    write_rows(folder / "problems.evaluation.jsonl", evaluation)
    (folder / "problems.errors.jsonl").write_text("".join(_line(row) for row in [*errors, *evil]), "utf-8")
    write_rows(
        folder / "problems.thoughts.jsonl", [problem("t/1", "sums", "A lesson"), problem("t/2", "sums", "No lesson")]
    )


def _written(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _line(row: Row) -> str:
    return json.dumps(row.model_dump(mode="json")) + "\n"


def _lessons(folder: Path) -> None:
    thought = Thought(steps=steps("3 + 4"), generalized="Add them.", answer="7")
    refused = Tried(reason="not_accepted", detail="Say what is added.", raw="<Step1>add</Step1>")
    row = ThoughtRow(problem_id="t/1", thought=thought, rounds=2, tries=(refused,))
    held = Quarantined(
        problem_id="t/2", stage="thoughts", reason="not_accepted", detail="Still no sum.", raw="<b>third</b>",
        tries=(refused, Tried(reason="no_steps", detail="at character 0", raw="hm")),
    )  # fmt: skip
    _write(folder, "thoughts", row, held=(held,))


def _mistakes(folder: Path, hostile: bool) -> None:
    wrong = attempt("x/1", False, "3 + 4 = 8", "so it is 8", answer="8")
    rows = [wrong, attempt("x/2", True, r"$3 + 4 = 7$")]
    refused = Tried(reason="not_accepted", detail="The cause is not named.", raw="raw trace")
    if hostile:
        rows += [
            attempt(f"evil/{name}", False, text, answer=text[:300])
            for name, text in HOSTILE.items()
            if name != "surrogate"
        ]
    _write(folder, "attempts", *rows)
    if hostile:
        surrogate = attempt("evil/surrogate", False, "plain").model_dump(mode="json")
        surrogate["text"] = surrogate["steps"][0]["text"] = HOSTILE["surrogate"]
        with (folder / "attempts.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(surrogate) + "\n")
    traces = [correction("x/1", 1, 2, (refused,))]
    if hostile:
        traces += [
            correction(f"evil/{name}").model_copy(update={"trace": CorrectionTrace(
                steps=steps(text), error=LocatedError(step=1, cause=text, correction=text), answer=text[:300])})
            for name, text in HOSTILE.items() if name not in ("surrogate", "long")
        ]  # fmt: skip
    _write(folder, "corrections", *traces)
    own = "<Step1>3 + 4 = 8<Cause>it looks odd</Cause><Correction>3 + 4 = 9</Correction></Step1>"
    _write(folder, "own_corrections", OwnCorrection(problem_id="x/1", text=own))
    pair = PreferencePair(problem_id="x/1", prompt="P", prefix="", chosen="<Step1>3 + 4 = 7</Step1>", rejected=own)
    _write(folder, "pairs", pair)


def _evaluated(folder: Path, model: str, place: int) -> None:
    looks = {name: models[place] for name, (_, models) in EVALUATION.items()}
    attempts = [
        attempt(name, first, "3 + 4 = 7" if first else "3 + 4 = 8", answer="7" if first else "8")
        for name, (first, _) in looks.items()
    ]
    reviews = [
        review(name, second, marked() if second and not first else None, "7" if second else "8")
        for name, (first, second) in looks.items()
    ]
    wrong = [name for name, (first, _) in looks.items() if not first]
    _write(folder, f"evaluate.{model}.attempts", *attempts)
    _write(folder, f"evaluate.{model}.reviews", *reviews)
    lost = Rejected(problem_id=wrong[-1], stage="corrections", reason="unlocated")
    _write(folder, f"evaluate.{model}.corrections", *(correction(name) for name in wrong[:-1]), rejected=(lost,))


def _training(folder: Path) -> None:
    for model in MODELS[1:]:
        lines = [
            {
                "step": step,
                "loss": 1 / step,
                "grad_norm": 1.0,
                "rewards/margins": step / 10,
                "rewards/chosen": 0.1,
                "rewards/rejected": -0.1,
            }
            for step in (1, 2, 4)
        ]
        write_text(folder / model / "training_log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))


def _whole(folder: Path) -> None:
    panels = [_panel(model, [models[place] for _, models in EVALUATION.values()]) for place, model in enumerate(MODELS)]
    results = {"recipe": "made", "student": "bundled", "seed": 5, "problems": 4, "panels": panels, "counts": []}
    write_text(folder / "results.json", json.dumps(results))
    total = {
        "stage": "thoughts",
        "model": "big",
        "calls": 3,
        "prompt_tokens": 1200,
        "completion_tokens": 300,
        "usd": "1.25",
    }
    write_text(folder / "ledger.json", json.dumps({"spent_usd": "1.25", "max_usd": None, "totals": [total]}))


def _panel(model: str, looks: list[tuple[bool, bool]]) -> dict[str, object]:
    n, first, second = len(looks), sum(a for a, _ in looks), sum(b for _, b in looks)
    gained, lost = sum(b and not a for a, b in looks), sum(a and not b for a, b in looks)
    estimates = {
        "accuracy_t1": proportion(first, n), "accuracy_t2": proportion(second, n), "delta": paired_difference(gained, lost, n),
        "wrong_to_right": proportion(gained, n), "right_to_wrong": proportion(lost, n), "locate": proportion(1, 2),
        "correct": proportion(0, 2), "false_alarms": proportion(0, 2),
    }  # fmt: skip
    subject = {name: estimates[name].model_dump() for name in ("accuracy_t1", "accuracy_t2", "delta")}
    return {
        "model": model,
        **{k: v.model_dump() for k, v in estimates.items()},
        "by_subject": {"sums": subject, "money": subject},
    }

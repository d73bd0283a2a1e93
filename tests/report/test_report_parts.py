"""The parts a report is made of: escaping, charts, reading, filing, tests of chance."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_run import EVALUATION, HOSTILE, attempt, correction, make_run, marked, problem, review

from redink.failures import BadInput
from redink.report import charts
from redink.report.archive import Archive
from redink.report.cases import OUTCOMES, Case, Work, as_shown, bits, filed, own_error
from redink.report.catalogue import Catalogue, Query
from redink.report.changes import answers, chance, change
from redink.report.figures import duration, label, run_figures
from redink.report.files import read_run
from redink.report.html import Html, element, joined
from redink.report.sources import sources_of
from redink.rows import write_rows
from redink.types import CorrectionTrace, OwnCorrection, PreferencePair, Quarantined, Rejected, Verdict

# ---------------------------------------------------------------- html


@given(st.text())
def test_text_never_becomes_markup(text: str) -> None:
    made = element("p", text, title=text)
    assert made.count("<") == 2 and made.count(">") == 2
    assert made.partition(">")[0].count('"') == 2


def test_what_is_markup_stays_and_the_rest_is_escaped() -> None:
    assert joined(("<", element("b", "&"), None, 3)) == "&lt;<b>&amp;</b>3"
    assert isinstance(joined(()), Html)
    assert (
        element("input", hidden=True, disabled=False, aria_label="a", class_="c")
        == '<input hidden aria-label="a" class="c">'
    )


# ---------------------------------------------------------------- charts


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [(0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.07, 4, [0, 0.02, 0.04, 0.06, 0.08]), (-3, 12, 3, [-5, 0, 5, 10, 15]),
     (0, 0, 4, [0]), (7, 7, 2, [5, 10])],
)  # fmt: skip
def test_ticks(low, high, count, expected) -> None:
    assert charts.ticks(low, high, count) == expected


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3), st.integers(2, 9))
def test_ticks_hold_the_values_and_are_few(low: float, span: float, count: int) -> None:
    found = charts.ticks(low, low + span, count)
    assert found[0] <= low + 1e-6 and found[-1] >= low + span - 1e-6
    assert len(found) <= 2 * count + 2


def test_a_scale_is_linear() -> None:
    assert [charts.Scale(0, 10, 100, 200)(value) for value in (0, 5, 10)] == [100, 150, 200]
    assert charts.Scale(3, 3, 0, 10)(3) == 0


def test_the_bands_of_a_flow_have_the_thickness_of_their_shares() -> None:
    """A band's right edge runs from y to y + share · 150."""
    drawn = charts.flows([charts.Flow("m", 0.4, 0.1, 0.2, 0.3)], 720)
    thick = [float(lower) - float(upper) for upper, lower in re.findall(r" [\d.]+ ([\d.]+)V([\d.]+)C", drawn)]
    assert thick == pytest.approx([60, 45, 30, 15], abs=0.11)  # kept, unmended, mended, broken


def test_empty_charts_are_drawn_without_a_number_that_is_none() -> None:
    for drawn in (charts.rows([], 350), charts.stacked([], 720), charts.progress([], [[]], 720), charts.flows([], 350)):
        assert "nan" not in drawn and "None" not in drawn


# ---------------------------------------------------------------- filing

RIGHT, WRONG = attempt("p", True, "a"), attempt("p", False, "a")
FILED = [
    (Work(group="g", model="m", attempt=RIGHT), ["right"], 0),
    (Work(group="g", model="m", attempt=RIGHT, review=review("p", True)), ["right", "kept"], 0),
    (Work(group="g", model="m", attempt=RIGHT, review=review("p", False, marked())), ["right", "broken", "alarm"], 0),
    (Work(group="g", model="m", attempt=WRONG, review=review("p", True, marked(2)), correction=correction("p", 2)),
     ["wrong", "repaired", "located"], 2),
    (Work(group="g", model="m", attempt=WRONG, review=review("p", False, marked(1)), correction=correction("p", 2)),
     ["wrong", "unmended", "missed"], 2),
    (Work(group="g", model="m", attempt=WRONG.model_copy(update={"verdict": Verdict(outcome="ungradable"), "truncated": True})),
     ["wrong", "ungradable", "truncated"], 0),
    (Work(group="g", model="m", attempt=WRONG, left_out=(Rejected(problem_id="p", stage="s", reason="unlocated"),)),
     ["wrong", "unlocated", "left_out"], 0),
    (Work(group="g", model="", held=(Quarantined(problem_id="p", stage="s", reason="cut"),)), ["held"], 0),
    (Work(group="g", model="m", attempt=WRONG, correction=correction("p", 1, rounds=3)), ["wrong", "rounds"], 1),
]  # fmt: skip


@pytest.mark.parametrize(("work", "names", "step"), FILED)
def test_how_a_work_is_filed(work, names, step) -> None:
    found = filed(work)
    assert {name for name in OUTCOMES if found.outcomes & bits([name])} == set(names)
    assert found.step == step


OWN = "<Step2>so it is 8<Cause>c</Cause><Correction>7</Correction></Step2>"


def test_the_students_continuation_is_read_after_the_steps_it_was_given() -> None:
    work = Work(group="g", model="m", correction=correction("p", 2), own=OwnCorrection(problem_id="p", text=OWN))
    error = own_error(work)
    assert error is not None and (error.step, error.cause, error.correction) == (2, "c", "7")
    assert own_error(work.model_copy(update={"own": OwnCorrection(problem_id="p", text="no tags")})) is None
    assert own_error(Work(group="g", model="m")) is None


def test_a_case_as_the_page_takes_it_is_plain_json() -> None:
    pair = PreferencePair(problem_id="p", prompt="P", prefix="", chosen="c", rejected="r")
    works = (*(work for work, _, _ in FILED), Work(group="g", model="m", attempt=RIGHT, pair=pair))
    shown = as_shown(Case(problem=problem("p", "s", "q"), set="errors", works=works))
    assert json.loads(json.dumps(shown)) == shown
    assert shown["works"][3]["teacher"]["error"] == {
        "step": 2,
        "cause": "three and four are not eight",
        "correction": "3 + 4 = 7",
    }


# ---------------------------------------------------------------- a run directory


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "made")


@pytest.fixture(scope="module")
def catalogue(run):
    with Archive({"": run}) as archive:
        yield Catalogue(archive)


def test_a_folder_that_is_no_run_is_refused(tmp_path) -> None:
    for read in (read_run, sources_of, lambda folder: Archive({"": folder})):
        with pytest.raises(BadInput, match="no run directory"):
            read(tmp_path)


def test_every_problem_has_its_works(run) -> None:
    with Archive({"": run}) as archive:
        case = archive.case("e/2")
        assert [(w.model, w.attempt.verdict.right, w.review.verdict.right) for w in case.works] == [
            ("base", False, False), ("hsft", True, False), ("cross_dpo", True, True),
        ]  # fmt: skip
        (lesson,) = [archive.case("t/1")]
        assert lesson.thought.rounds == 2 and lesson.thought.tries[0].detail == "Say what is added."
        assert archive.case("t/2").works[0].held[0].tries[1].reason == "no_steps"
        mistake = archive.case("x/1").works[0]
        assert (mistake.model, mistake.pair.kind, mistake.own.text[:7]) == ("hsft", "error", "<Step1>")
        assert archive.case("nowhere") is None


def test_rows_that_cannot_be_read_are_named_and_the_others_stay(run, tmp_path) -> None:
    folder = make_run(tmp_path / "bad", hostile=False)
    with (folder / "attempts.jsonl").open("ab") as file:
        file.write(b'not json\n{"problem_id":"x/1","text":3}\n[1]\n\n\xff\xfe\n')
    with Archive({"": folder}) as archive:
        before = len(archive.faults)
        assert before == 3
        assert len(archive.case("x/1").works) == 1
        assert len(archive.faults) == 4
        assert all(fault.startswith("attempts.jsonl, byte ") for fault in archive.faults)
    with Archive({"": run}) as archive:
        archive.case("evil/surrogate")
        assert len(archive.faults) == 1  # JSON may say it, but it is no text


def test_a_run_that_is_under_way_has_a_report_too(tmp_path) -> None:
    folder = make_run(tmp_path / "half", hostile=False)
    for name in ("results.json", "manifest.json", "ledger.json"):
        (folder / name).unlink()
    (folder / "pairs.counts.json").write_text("{", "utf-8")
    (folder / "corrections.unfinished.jsonl").write_text("", "utf-8")
    files = read_run(folder)
    assert files.results is None and files.under_way == ("corrections",)
    assert files.notes and "pairs.counts.json" in files.notes[0]
    with Archive({"": folder}) as archive:
        assert [figure.name for figure in run_figures(files, Catalogue(archive))] == ["training", "books", "costs"]


def test_times_are_those_between_the_files(run) -> None:
    """Stage n ends at 60·n s, the problems were there 60 s before the first: 60 s each, by the fixture's file times."""
    seconds = {name: value for name, value in read_run(run).seconds.items() if name not in ("hsft", "cross_dpo")}
    assert len(seconds) == 14 and set(seconds.values()) == {60.0}


def test_times_of_a_copy_are_not_invented(tmp_path) -> None:
    import os

    folder = make_run(tmp_path / "copy", hostile=False)
    for path in folder.rglob("*"):
        os.utime(path, (1_700_000_000,) * 2)
    assert read_run(folder).seconds == {}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (3599.7, "1 h 0 min"), (4000, "1 h 6 min")],
)
def test_durations(seconds, words) -> None:
    assert duration(seconds) == words


def test_names_of_models() -> None:
    assert (label("hsft"), label("a/b · cross_dpo"), label("mine")) == ("HSFT", "a/b · Cross-DPO", "mine")


# ---------------------------------------------------------------- search and filters

QUERIES = [
    (Query(), 4 + 2 + len(HOSTILE) + 2),
    (Query(set="evaluation"), 4),
    (Query(subject="sums"), 4),
    (Query(set="evaluation", subject="money"), 2),
    (Query(model="base", outcome="repaired"), 1),
    (Query(model="hsft", outcome="broken"), 1),
    (Query(outcome="broken"), 1),
    (Query(model="base", outcome="broken"), 0),
    (Query(outcome="held"), 1),
    (Query(outcome="unlocated"), 2),  # e/4 by base and HSFT, e/3 by Cross-DPO
    (Query(words="THREE eight"), 3),  # three asks in e/1…4; eight is in the corrections of e/1, e/2, x/1
    (Query(words="window.pwned", set="errors"), 5),  # script, handler, svg, link, latex
    (Query(words="not named"), 1),
    (Query(words="say what is added"), 2),
    (Query(words="nowhere to be found"), 0),
    (Query(outcome="no such outcome"), 0),
    (Query(model="hsft", step=1, set="errors", outcome="taught"), 1),
]


@pytest.mark.parametrize(("query", "total"), QUERIES)
def test_what_is_found_by_hand_count(catalogue, query, total) -> None:
    assert catalogue.find(query).total == total


@given(
    words=st.sampled_from(["", "three", "8", "e/2", "añ", "\n", "pwned here"]), set_=st.sampled_from(["", "evaluation", "errors"]),
    model=st.sampled_from(["", "base", "hsft"]), outcome=st.sampled_from(["", *OUTCOMES]), step=st.integers(0, 2),
)  # fmt: skip
def test_finding_agrees_with_looking_at_every_line(catalogue, words, set_, model, outcome, step) -> None:
    found = catalogue.find(Query(words="", set=set_, model=model, outcome=outcome, step=step, limit=1000))
    expected = [
        line.id for line in catalogue.lines
        if set_ in ("", line.set) and (not (model or outcome or step) or any(
            model in ("", w.model) and (not outcome or w.outcomes & bits([outcome])) and step in (0, w.step) for w in line.works))
    ]  # fmt: skip
    assert [line.id for line in found.lines] == expected
    narrower = catalogue.find(Query(words=words, set=set_, model=model, outcome=outcome, step=step, limit=1000))
    assert {line.id for line in narrower.lines} <= set(expected)


def test_pages_follow_one_another(catalogue) -> None:
    whole = [line.id for line in catalogue.find(Query(limit=1000)).lines]
    pages = [
        line.id for offset in range(0, len(whole), 5) for line in catalogue.find(Query(offset=offset, limit=5)).lines
    ]
    assert pages == whole and whole[:4] == list(EVALUATION)


# ---------------------------------------------------------------- better, or chance


def test_changes_are_counted_on_the_problems_that_both_have(catalogue) -> None:
    """base → HSFT at t1: e/1 and e/2 gained, none lost; at t2: none of four changed."""
    first, second = change(catalogue.lines, "base", "hsft", "t1"), change(catalogue.lines, "base", "hsft", "t2")
    assert first is not None and (first.shared, first.gained, first.lost, first.p) == (4, 2, 0, 0.5)
    assert first.difference.value == 0.5 and first.verdict == "not told from chance"
    assert second is not None and (second.gained, second.lost, second.p) == (0, 0, 1.0)
    assert change(catalogue.lines, "base", "nobody", "t1") is None


def test_only_held_out_problems_count(catalogue) -> None:
    """HSFT solved x/1, x/2 and the hostile ones too, for training."""
    assert set(answers(catalogue.lines, "hsft", "t1")) == set(EVALUATION)


@pytest.mark.parametrize(("p", "words"), [(0.0004, "p < 0.001"), (0.034, "p = 0.034"), (0.7, "p = 0.70")])
def test_chance_in_words(p, words) -> None:
    assert chance(p) == words.replace(" ", "\u00a0")


def test_stability_is_counted_from_rows_that_were_drawn_several_times(tmp_path) -> None:
    """x/1 right in 1 of 2 draws, x/2 in 2 of 2."""
    from redink.report.figures import stability_of_rows

    folder = make_run(tmp_path / "drawn", hostile=False)
    draws = [
        attempt("x/1", True, "a"),
        attempt("x/1", False, "a", sample=1),
        attempt("x/2", True, "a"),
        attempt("x/2", True, "b", sample=1),
    ]
    write_rows(folder / "attempts.jsonl", draws)
    with Archive({"": folder}) as archive:
        figure = stability_of_rows(Catalogue(archive).lines)
    assert figure is not None
    assert [row for row in figure.table.rows if row[2] != "0"] == [("HSFT", "to 60", "1"), ("HSFT", "always", "1")]


def test_a_trace_that_no_longer_renders_is_no_crash() -> None:
    row = correction("p", 2)
    gap = row.trace.steps[0].model_copy(update={"number": 5})
    broken = row.model_copy(
        update={"trace": CorrectionTrace(steps=(gap, *row.trace.steps[1:]), error=marked(2), answer="7")}
    )
    assert own_error(Work(group="g", model="m", correction=broken, own=OwnCorrection(problem_id="p", text=OWN))) is None


def test_each_models_repeats_are_its_own(tmp_path) -> None:
    folder = make_run(tmp_path / "repeated", hostile=False)
    for model, right in (("base", False), ("hsft", True)):
        for draw in (0, 1):
            path = folder / "attempts" / "evaluation" / model / f"r{draw:03d}" / "000000.jsonl"
            write_rows(path, [attempt("e/1", right, f"{model} {draw}", sample=draw)])
    with Archive({"": folder}) as archive:
        case = archive.case("e/1")
    assert case is not None
    drawn = [work for work in case.works if work.group.startswith("repeats")]
    assert {(work.model, work.group, work.attempt.text) for work in drawn if work.attempt} == {
        (model, f"repeats.r{draw:03d}", attempt("e/1", True, f"{model} {draw}").text)
        for model in ("base", "hsft")
        for draw in (0, 1)
    }


def test_a_directory_of_redink_evaluate_is_filed_by_student_and_draw(tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "e", "students": ["org/S-1.5B"]}))
    place = "gsm8k/org-S-1.5B-ab12"
    write_rows(tmp_path / "problems.gsm8k.jsonl", [problem("g/1", "sums", "What is 3 + 4?")])
    (tmp_path / "problems.gsm8k.check.jsonl").write_text('{"name": "gsm8k", "rows": 1}\n')
    wrong = attempt("g/1", False, "3 + 4 = 8")
    for what, drawn, row in (
        ("attempts", "greedy", wrong),
        ("attempts", "r000", wrong),
        ("reviews", "greedy", review("g/1", False)),
    ):
        (tmp_path / what / place / drawn).mkdir(parents=True)
        write_rows(tmp_path / what / place / drawn / "00000.jsonl", [row])
    write_rows(tmp_path / "corrections.gsm8k.org-S-1.5B-ab12.reference-93a4.jsonl", [correction("g/1")])
    with Archive({"": tmp_path}) as archive:
        works = {(work.group, work.model): work for work in archive.case("g/1").works}
        assert not archive.faults
    assert set(works) == {("evaluate", "org-S-1.5B-ab12"), ("repeats.r000", "org-S-1.5B-ab12")}
    first = works["evaluate", "org-S-1.5B-ab12"]
    assert first.review is not None and first.correction is not None

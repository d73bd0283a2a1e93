"""What the report shows of ORION: the student's exposed errors, the teacher's chain, and the chain that is learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import ABSENT, PROGRAM, Browser
from report_run import attempt, correction, problem

from redink.report.archive import Archive
from redink.report.building import write_report
from redink.report.cases import as_shown, bits, filed, texts
from redink.report.sources import sources_of
from redink.rows import write_rows
from redink.types import ChainRow, ExposedError, RefinedChain, Rejected

LONG = "<Step1>3 - 4? wrong step, it should be 3 + 4</Step1>\n<Step2>3 + 4 = 7</Step2>\n<Answer>7</Answer>"
SHORT = "<Step1>3 + 4<Key>3 - 4? no</Key></Step1>\n<Answer>7</Answer>"
EVIL = "<script>document.title = 'evil'</script>"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Problem p/1 has two exposed errors and a refined chain; the teacher's chain of p/2 stands; p/3 has an evil one."""
    names = ("p/1", "p/2", "p/3")
    (tmp_path / "recipe.json").write_text(json.dumps({"name": "o", "seed": 0, "student": "bundled", "method": "orion"}))
    wrong = [attempt("p/1", False, "3 + 4 = 8", answer="8", sample=place) for place in (0, 2)]
    rows = {
        "problems.thoughts": [problem(name, "sums", "What is 3 + 4?") for name in names],
        "long_chains": [ChainRow(problem_id=name, text=EVIL if name == "p/3" else LONG) for name in names],
        "exposure.attempts": [*wrong, attempt("p/2", True, "3 + 4 = 7")],
        "exposure": [
            ExposedError(problem_id="p/1", sample=0, text="8", answer="8", step=1, count=3),
            ExposedError(problem_id="p/1", sample=2, text="8", answer="8"),
        ],
        "exposure.corrections": [correction("p/1")],
        "refinement": [
            RefinedChain(problem_id="p/1", sample=0, text=LONG, similarity=0.5),
            RefinedChain(problem_id="p/1", sample=1, text=SHORT, similarity=0.25, errors=(0, 2)),
        ],
        "refined": [RefinedChain(problem_id="p/1", sample=1, text=SHORT, similarity=0.25, errors=(0, 2))],
        "refined.rejected": [Rejected(problem_id="p/2", stage="refined", reason="teachers_chain_stands")],
        "round2.attempts": [attempt("p/2", False, "no")],
        "exposure.scores": [],
    }
    for name, some in rows.items():
        write_rows(tmp_path / f"{name}.jsonl", some)
    return tmp_path


def test_every_row_is_filed_with_its_problem_and_its_student(run):
    owners = {(source.path.stem, source.part, source.group, source.model) for source in sources_of(run)}
    assert owners == {
        ("problems.thoughts", "problem", "thoughts", ""),
        ("long_chains", "chain", "thoughts", ""),
        ("exposure.attempts", "attempt", "exposure", "base"),
        ("exposure", "exposed", "exposure", "base"),
        ("exposure.corrections", "correction", "exposure", "base"),
        ("refinement", "tried_chain", "thoughts", ""),
        ("refined", "refined", "thoughts", ""),
        ("refined.rejected", "left_out", "thoughts", ""),
        ("round2.attempts", "attempt", "round2", "cross_dpo"),
    }


def test_errors_of_an_exposure_model_are_told_from_the_attempts_it_was_trained_on(run):
    (run / "exposure.attempts.jsonl").rename(run / "exposure.trained_attempts.jsonl")
    write_rows(run / "exposure.attempts.jsonl", [attempt("p/1", False, "first")])
    with Archive({"": run}) as archive:
        works = {(work.group, work.model, work.sample): work for work in archive.case("p/1").works}
    assert works["exposure", "error_prone", 2].exposed.count == 1
    assert works["exposure.first", "base", 0].exposed is None


def test_a_case_has_the_chain_its_rewritings_and_the_errors(run):
    with Archive({"": run}) as archive:
        case, stands = archive.case("p/1"), archive.case("p/2")
    assert (case.chain.text, case.refined.sample, [row.sample for row in case.tried_chains]) == (LONG, 1, [0, 1])
    assert [work.exposed.count for work in case.works if work.exposed] == [3, 1]
    assert filed(case.works[0]).outcomes & bits(["exposed"])
    assert {LONG, SHORT} <= set(texts(case))
    assert stands.refined is None and "teachers_chain_stands" in set(texts(stands))


def test_chains_are_shown_without_tags_a_step_per_line(run):
    with Archive({"": run}) as archive:
        shown, evil = as_shown(archive.case("p/1")), as_shown(archive.case("p/3"))
    assert shown["chain"] == "3 - 4? wrong step, it should be 3 + 4\n3 + 4 = 7\nAnswer: 7"
    assert shown["refined"] == {"similarity": 0.25, "text": "3 + 4  ·  3 - 4? no\nAnswer: 7"}
    assert [row["similarity"] for row in shown["otherChains"]] == [0.5]
    assert evil["chain"] == EVIL


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason=ABSENT)
def test_the_page_puts_error_chain_and_refined_chain_side_by_side(run):
    page = write_report(run).path.as_uri()
    with Browser() as browser:
        browser.size(1280, 900)
        browser.open(f"{page}#work=1&problem=p%2F1")
        browser.until("document.querySelectorAll('#case .opposite ins').length > 0")
        heads = "[...document.querySelectorAll('#case .side h4')].slice(0, 4).map((one) => one.textContent)"
        assert browser.run(heads) == [
            "The student's error 1", "The student's error 2", "The teacher's chain", "The refined chain",
        ]  # fmt: skip
        gone = "[...document.querySelectorAll('#case del')].map((one) => one.textContent).join('')"
        assert "wrong step, it should be" in browser.run(gone)
        browser.open(f"{page}#work=1&problem=p%2F3")
        browser.until("document.getElementById('case').textContent.includes('<script>')")
        assert browser.run("document.title") != "evil"

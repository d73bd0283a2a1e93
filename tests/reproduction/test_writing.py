"""Tables, figures and pages from hand-made run directories: every number by hand."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from redink.evaluation.teacher_quality import Piece
from redink.pipelines.results import Results, write_results
from redink.pipelines.tables import as_rich
from redink.recipe import load_recipe
from redink.report.charts import drawing
from redink.reproduction.arms import load_scale
from redink.reproduction.building import as_table, build, claims_in_brief
from redink.reproduction.chains import ChainRead, coherence, consistency
from redink.reproduction.claims import CLAIMS, judge
from redink.reproduction.figures import draw, standalone
from redink.reproduction.items import ITEMS
from redink.reproduction.jobs import Spell
from redink.reproduction.samples import Archive, TeacherPiece
from redink.reproduction.writing import gather, write_all
from redink.rows import write_rows
from redink.run import Run
from redink.types import Attempt, CorrectionRow, CorrectionTrace, LocatedError, Problem, Review, Step, Verdict

SUBJECTS = ("sums", "sums", "rates", "rates")
STEPS = (Step(number=1, text="1 + 1 = 2"),)


def verdict(right: float) -> Verdict:
    return Verdict(outcome="right" if right else "wrong")


def run_of(folder: Path, method: str, models: dict[str, tuple[Sequence[int], Sequence[int]]], seed: int = 0) -> None:
    """A run that is done: for each model right (1) or wrong (0) at t1 and t2 of four problems."""
    with Run(folder, load_recipe("demo", [f"method={method}", f"seed={seed}"]), Console(file=io.StringIO())):
        pass
    problems = [
        Problem(id=f"p{n}", question=f"{n}?", answer="1", subject=subject, source=f"made/{subject}")
        for n, subject in enumerate(SUBJECTS)
    ]
    write_rows(folder / "problems.evaluation.jsonl", problems)
    for model, (first, second) in models.items():
        write_rows(
            folder / f"evaluate.{model}.attempts.jsonl",
            [
                Attempt(problem_id=f"p{n}", sample=0, text="t", answer="1", steps=STEPS, verdict=verdict(right))
                for n, right in enumerate(first)
            ],
        )
        write_rows(
            folder / f"evaluate.{model}.reviews.jsonl",
            [
                Review(
                    problem_id=f"p{n}",
                    sample=0,
                    text="t",
                    answer="1",
                    verdict=verdict(right),
                    error=LocatedError(step=1, cause="c", correction="1 + 1 = 2") if n % 2 else None,
                )
                for n, right in enumerate(second)
            ],
        )
        write_rows(
            folder / f"evaluate.{model}.corrections.jsonl",
            [
                CorrectionRow(
                    problem_id=f"p{n}",
                    sample=0,
                    rounds=1,
                    trace=CorrectionTrace(
                        steps=STEPS, answer="2", error=LocatedError(step=1, cause="c", correction="1 + 1 = 2")
                    ),
                )
                for n, right in enumerate(first)
                if not right
            ],
        )
        (folder / f"evaluate.{model}.reviews.counts.json").write_text("{}")
    results = Results(recipe="r", student="s", seed=seed, problems=4, panels=(), counts=())
    write_results(folder / "results.json", results)  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in (0, 1):
        run_of(tmp_path / f"supercorrect-s{seed}", "supercorrect", {
            "base": ([0, 0, 0, 0], [0, 0, 0, 0]), "hsft": ([1, 0, 0, 0], [1, 0, 0, 0]),
            "cross_dpo": ([1, 1, 0, 0], [1, 1, 1, seed]),
        }, seed)  # fmt: skip
    run_of(tmp_path / "sft-s0", "sft", {"base": ([0] * 4, [0] * 4), "sft": ([0, 0, 1, 0], [0, 0, 0, 0])})
    return tmp_path


def archive(runs: Path) -> Archive:
    return Archive(runs, (0, 1), load_scale("mini").aliases)


def test_a_cell_is_the_mean_over_seeds_and_a_gain_is_paired(runs: Path) -> None:
    built = build(ITEMS["table2"], archive(runs))
    by_label = {line.label: line for line in built.lines}
    cross = by_label["HSFT + Cross-DPO"].figures["accuracy"]
    assert (cross.value, cross.n) == (pytest.approx((0.75 + 1) / 2), 8), "after its review"
    assert by_label["HSFT"].figures["accuracy"].value == 0.25
    gain = by_label["HSFT"].figures["gain over the line above"]
    assert (gain.value, gain.n) == (0.0, 4), "SFT has seed 0 alone: one gained, one lost of four"
    assert by_label["SFT"].seeds == (0,)
    assert built.missing == ("sft-s1", "reflexion-s0", "reflexion-s1")
    assert by_label["HSFT + Reflexion"].figures["accuracy"].n == 0


def test_locate_rests_on_wrong_solutions(runs: Path) -> None:
    """Base is wrong four times and marks p1 and p3; Cross-DPO is wrong at p2 and p3 and marks p3."""
    built = build(ITEMS["table6"], archive(runs), {"supercorrect": "Llama"})
    by_label = {line.label: line.figures for line in built.lines}
    assert (by_label["Llama: base"]["locate"].value, by_label["Llama: base"]["locate"].n) == (0.5, 8)
    assert by_label["Llama: HSFT + Cross-DPO"]["locate"].n == 4


def test_groups_are_accuracies_by_subject(runs: Path) -> None:
    built = build(ITEMS["figure4"], archive(runs))
    assert {name: found.value for name, found in built.lines[2].groups.items()} == {"rates": 0.75, "sums": 1.0}


def test_a_table_says_n_seeds_and_what_is_missing(runs: Path) -> None:
    table = as_table(build(ITEMS["table2"], archive(runs)))
    assert table.columns == ("", "accuracy", "gain over the line above", "paper")
    assert table.rows[2][1].startswith("25.0 [") and table.rows[2][3] == "62.4 / 87.2"
    assert "n = 4 per seed, seeds 0, 1" in table.note
    assert "Missing: sft-s1, reflexion-s0, reflexion-s1." in table.note


def test_teachers_and_chains_are_read_from_their_own_files(tmp_path: Path) -> None:
    rows = [
        TeacherPiece(kind="thoughts", piece=Piece(problem_id="a", arm="checked", made=True, strict=False, rounds=1)),
        TeacherPiece(kind="thoughts", piece=Piece(problem_id="b", arm="checked", made=True, strict=None, rounds=1)),
        TeacherPiece(kind="thoughts", piece=Piece(problem_id="c", arm="checked", made=False)),
    ]
    write_rows(tmp_path / "teacher-s0" / "pieces.jsonl", rows)
    read = ChainRead(problem_id="a", arm="sft", words=4, tokens=9, nats=0.5, coherent=1.0, consistent=None)
    write_rows(tmp_path / "orion-chains-s0" / "chains.jsonl", [read])
    found = archive(tmp_path)
    assert list(found.samples("teacher", "thoughts/checked", "strict")[0].values) == [0.0]
    assert list(found.samples("teacher", "thoughts/checked", "delivered")[0].values) == [1.0, 1.0, 0.0]
    assert list(found.samples("orion-chains", "orion-sft", "words")[0].values) == [4.0]
    assert found.samples("orion-chains", "orion-sft", "consistent") == {}


@pytest.mark.parametrize(
    ("chain", "follow"),
    [
        ("<Step1>3 + 4 = 7</Step1>\n<Step2>7 - 2<Key>7 - 1 = 6, 6 - 1 = 5</Key></Step2>\n<Answer>5</Answer>", 2 / 3),
        ("<Step1>3 + 4<Key>3 + 4 = 7</Key></Step1>\n<Answer>7</Answer>", 1.0), ("12 is it", 0.0), ("", 1.0),
    ],
)  # fmt: skip
def test_a_line_is_coherent_if_its_numbers_were_said(chain: str, follow: float) -> None:
    """2 stands nowhere before; what a key works out is known after it."""
    assert coherence("Ann has 3 pens and buys 4.", chain) == pytest.approx(follow)


def test_consistent_equations_hold() -> None:
    assert consistency("<Key>3 + 4 = 7, 7 - 1 = 5</Key>") == 0.5
    assert consistency("no sum") is None


def test_everything_is_written_and_can_be_read(runs: Path, tmp_path: Path) -> None:
    items = [ITEMS[name] for name in ("table2", "figure3", "figure4", "figure5")]
    found = gather(
        items, archive(runs), load_scale("mini"), name="mini", command="redink reproduce table2", limit=None,
        spells=[Spell(job="sft-s0", seconds=1800, outcome="done"), Spell(job="x", seconds=1800, outcome="stopped")],
    )  # fmt: skip
    out = tmp_path / "out"
    write_all(found, archive(runs), out, latex=True)
    names = {path.name for path in out.iterdir()}
    assert names == {
        "README.md", "results.json", "claims.md", "claims.tex", "table2.md", "table2.json", "table2.tex", "figure3.md",
        "figure3.json", "figure3.tex", "figure3.svg", "figure4.md", "figure4.json", "figure4.tex", "figure4.svg",
        "figure5.md", "figure5.json", "figure5.tex", "figure5.svg",
    }  # fmt: skip
    page = (out / "README.md").read_text()
    assert "redink reproduce table2" in page and "Seeds 0, 1. 1.00 hours" in page and "not the papers' results" in page
    assert "[Table 2: what each stage adds](table2.md)" in page and "Missing: dpo-s0, dpo-s1, reflexion-s0" in page
    claims = {row["claim"]["id"]: row for row in json.loads((out / "results.json").read_text())["claims"]}
    assert claims["hsft-over-base"]["p_value"] == 0.5, "two gained, none lost: 2/2²"
    assert claims["cross-dpo-over-reflexion"]["verdict"] == "not measured"
    assert "undecided at this scale" in (out / "claims.md").read_text()


@pytest.mark.parametrize("width", [80, 100])
def test_claims_can_be_read_on_a_narrow_terminal(runs: Path, width: int) -> None:
    """No line is wider, and verdict, effect and p are never broken; a table for each paper, all claims in them."""
    kept = archive(runs)
    found = [judge(claim, kept) for claim in CLAIMS]
    tables = claims_in_brief(found)
    assert [table.title.partition(": ")[2] for table in tables] == ["SuperCorrect", "ORION", "in neither paper"]
    assert sum(len(table.rows) for table in tables) == len(CLAIMS)
    assert [bool(table.note) for table in tables] == [False, False, True]
    page = Console(width=width, color_system=None, file=io.StringIO())
    with page.capture() as captured:
        for table in tables:
            page.print(as_rich(table))
    shown = captured.get().splitlines()
    assert max(map(len, shown)) <= width
    for table in tables:
        for _, *cells in table.rows:
            assert any(all(cell in line for cell in cells) for line in shown)


def test_a_claim_in_brief_has_its_verdict_and_says_that_more_is_to_be_known(runs: Path) -> None:
    """Cross-DPO at t2, of four problems in each of two seeds: 3 + 4 right, HSFT 1 + 1, none lost: p = 2/2⁵."""
    kept = archive(runs)
    both = [claim for claim in CLAIMS if claim.id in ("cross-dpo-over-hsft", "hsft-over-sft", "orion-over-base")]
    rows = {row[0].partition(" is better")[0]: row[1:] for table in claims_in_brief([judge(c, kept) for c in both])
            for row in table.rows}  # fmt: skip
    assert rows["Cross-DPO, after its review,"][0] == "undecided" and rows["Cross-DPO, after its review,"][2] == "0.062"
    assert rows["Cross-DPO, after its review,"][1].startswith("+62.5 [")
    assert rows["ORION"] == ("not measured", "–", "–")
    one = judge(both[0], kept).model_copy(update={"verdict": "reproduced", "remark": "of one seed's students alone"})
    assert claims_in_brief([one])[0].rows[0][1] == "reproduced*"


def test_a_run_that_cannot_be_read_is_missing_and_said(runs: Path) -> None:
    (runs / "sft-s0" / "recipe.json").write_text("{")
    kept = archive(runs)
    found = gather([ITEMS["table2"]], kept, load_scale("mini"), name="mini", command="c", limit=None)
    assert "cannot be read as a recipe" in found.faults["sft-s0"]
    assert found.items[0].missing[:2] == ("sft-s0", "sft-s1")
    assert found.items[0].lines[0].seeds == (0, 1), "the others stand"


def test_a_figure_is_a_document_of_its_own_with_words(runs: Path) -> None:
    built = build(ITEMS["figure3"], archive(runs))
    root = ET.fromstring(draw(built, archive(runs)))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    title, description = root[0].text, root[1].text
    assert title == "Figure 3: self-correction, t1 → t2"
    assert description is not None and "HSFT + Cross-DPO: t1 50.0 %, t2 87.5 %" in description
    assert "prefers-color-scheme: dark" in (root[2].text or "") and ".whisker" in (root[2].text or "")


def test_what_is_not_done_has_no_figure(tmp_path: Path) -> None:
    assert draw(build(ITEMS["figure3"], archive(tmp_path)), archive(tmp_path)) == ""
    assert "no run is done" in as_table(build(ITEMS["table1"], archive(tmp_path))).note


def test_drawings_stand_below_each_other() -> None:
    root = ET.fromstring(standalone("a & b", [("one", drawing(100, 50)), ("", drawing(100, 30))], "words"))
    placed = [child for child in root if child.tag.endswith("svg")]
    assert [(child.get("y"), child.get("height")) for child in placed] == [("64", "50"), ("126", "30")]
    assert float(root.get("height") or 0) > 156

"""The page as a file: whole in itself, closed to everything else, as small as it says."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_run import HOSTILE, make_run

from redink.report import page as pages
from redink.report.archive import Archive
from redink.report.building import drawn_cases, write_report
from redink.report.comparing import run_names, write_comparison
from redink.report.page import ASSETS, SCRIPTS, STYLES, asset, policy


class Reader(HTMLParser):
    """Elements with their attributes, and what stands in each of some."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[str]] = {}
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open = tag
        self.inside.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inside[self._open][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[str, Reader]:
    folder = make_run(tmp_path_factory.mktemp("page") / "<b>made</b>", name="<b>\"made'</b>")
    text = write_report(folder).path.read_text("utf-8")
    return text, Reader(text)


def cases_of(reader: Reader) -> list[dict[str, object]]:
    place = next(i for i, attributes in enumerate(reader.all("script")) if attributes.get("id") == "cases")
    return json.loads(gzip.decompress(base64.b64decode(reader.inside["script"][place])))


def test_the_policy_names_our_own_scripts_and_styles_and_nothing_else(made) -> None:
    _, reader = made
    given = next(a["content"] for a in reader.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert given == policy(False) and "unsafe" not in given and "connect-src 'none'" in given
    for kind, tag in (("style", "style"), ("script", "script")):
        texts = [text for text, a in zip(reader.inside[tag], reader.all(tag), strict=True) if not a.get("type")]
        hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
        assert f"{kind}-src {' '.join(hashes)};" in given
        assert len(texts) == len(STYLES if tag == "style" else SCRIPTS)


def test_nothing_is_fetched_and_nothing_has_a_handler_or_a_style_of_its_own(made) -> None:
    _, reader = made
    for _, attributes in reader.found:
        assert not {"src", "srcset", "style", "action", "formaction", "data"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    outside = [
        match for name in STYLES for match in re.findall(r"url\(([^)]{0,30})", asset(name)) if "data:" not in match
    ]
    assert outside == [] and "@import" not in "".join(map(asset, STYLES))


def test_names_from_the_run_are_text(made) -> None:
    text, reader = made
    assert "<b>" not in text.partition("<script")[0].replace("<b>Gold", "")
    assert "<b>\"made'</b>" in "".join(reader.inside["p"])


def test_every_case_is_there_and_says_what_was_written(made) -> None:
    _, reader = made
    cases = {case["id"]: case for case in cases_of(reader)}
    assert len(cases) == 4 + 2 + len(HOSTILE) + 2
    assert cases["evil/script"]["works"][0]["attempt"]["steps"] == [[HOSTILE["script"]]]  # type: ignore[index]


def test_every_figure_has_words_for_those_who_do_not_see_it_and_a_table(made) -> None:
    _, reader = made
    charts = [attributes for attributes in reader.all("div") if (attributes.get("class") or "").startswith("chart")]
    assert charts and all(a["role"] == "img" and len(a["aria-label"] or "") > 20 for a in charts)
    figures = [attributes["id"] for attributes in reader.all("section") if attributes.get("class") == "figure"]
    assert figures == [f"figure-{n}" for n in ("accuracy", "flow", "subjects", "steps", "training", "books", "costs")]
    assert len(reader.all("table")) == len(figures)
    assert len(reader.all("label")) == len(reader.all("select")) + len(reader.all("input")) == 6


def test_the_numbers_of_the_run_are_in_the_tables(made) -> None:
    """By hand: base 1 of 4 and 2 of 4, HSFT 3 and 2, Cross-DPO 3 and 3; the thoughts cost $1.25."""
    _, reader = made
    cells = reader.inside["td"]
    assert [cell.split()[0] for cell in cells[:2]] == ["25.0", "50.0"]
    assert "$1.25" in cells and "not_accepted 1" in cells


def test_the_page_is_small() -> None:
    assert sum(len(asset(name).encode()) for name in (*STYLES, *SCRIPTS)) < 1_200_000


def test_licences_of_what_is_not_ours_are_kept() -> None:
    assert "MIT" in (ASSETS / "LICENSE.katex").read_text("utf-8")
    for name in ("source-serif-4", "source-sans-3", "caveat"):
        assert "SIL Open Font License" in (ASSETS / f"LICENSE.{name}").read_text("utf-8")


def test_an_asset_that_could_end_its_element_is_refused(monkeypatch, tmp_path) -> None:
    (tmp_path / "evil.js").write_text("'</SCRIPT>'", "utf-8")
    monkeypatch.setattr(pages, "ASSETS", tmp_path)
    with pytest.raises(ValueError, match=r"evil\.js"):
        asset("evil.js")


# ---------------------------------------------------------------- a draw of the cases


def test_a_large_run_shows_a_draw_and_says_so(tmp_path) -> None:
    folder = make_run(tmp_path / "made", hostile=False)
    done = write_report(folder, inlined=6000)
    assert 0 < done.shown < done.problems == 8
    text = done.path.read_text("utf-8")
    assert f"{done.shown} of 8 problems are here" in text and "redink view" in text
    assert done.shown == len(cases_of(Reader(text)))
    assert write_report(folder, to=tmp_path / "again.html", inlined=6000).path.read_text("utf-8") == text


@pytest.mark.parametrize("most", [0, 3000, 6000, 10**9])
def test_a_draw_keeps_within_its_bytes_and_every_set_has_its_share(tmp_path, most) -> None:
    with Archive({"": make_run(tmp_path / "made", hostile=False)}) as archive:
        cases = drawn_cases(archive, most)
        assert sum(len(json.dumps(case)) for case in cases) <= most
        if most >= 6000:
            assert {case["set"] for case in cases} == {"evaluation", "errors", "thoughts"}
        if most == 10**9:
            assert [case["id"] for case in cases] == list(archive.folders)


# ---------------------------------------------------------------- two runs


def test_two_runs_are_tested_on_the_problems_they_share(tmp_path) -> None:
    """The second run's HSFT solves e/4 too: 1 gained, 0 lost of 4, p = 1."""
    first, second = make_run(tmp_path / "one", hostile=False), make_run(tmp_path / "two", hostile=False)
    path = second / "evaluate.hsft.attempts.jsonl"
    lines = path.read_text("utf-8").splitlines()
    lines[3] = lines[3].replace('"wrong"', '"right"')
    path.write_text("\n".join(lines) + "\n", "utf-8")
    text = write_comparison(first, second).path.read_text("utf-8")
    reader = Reader(text)
    said = " ".join(reader.inside["span"])
    assert "1 problems gained, 0 lost of 4; p\u00a0=\u00a01.00" in said
    assert "two cannot be told from one." in reader.inside["h1"][0]
    (case,) = [case for case in cases_of(reader) if case["id"] == "e/4"]
    assert [work["model"] for work in case["works"]] == [
        f"{run} · {m}" for run in ("one", "two") for m in ("base", "hsft", "cross_dpo")
    ]  # type: ignore[index]


def test_another_problem_of_the_same_name_is_left_out_and_named(tmp_path) -> None:
    first, second = make_run(tmp_path / "one", hostile=False), make_run(tmp_path / "two", hostile=False)
    path = second / "problems.evaluation.jsonl"
    path.write_text(path.read_text("utf-8").replace("(e/1)", "(another)"), "utf-8")
    done = write_comparison(first, second)
    assert any("another problem is called e/1" in fault for fault in done.faults)
    (case,) = [case for case in cases_of(Reader(done.path.read_text("utf-8"))) if case["id"] == "e/1"]
    assert {work["model"].partition(" · ")[0] for work in case["works"]} == {"one"}  # type: ignore[index]


def test_runs_are_named_by_as_much_of_their_paths_as_tells_them_apart() -> None:
    assert run_names(Path("a/demo"), Path("b/demo")) == ("a/demo", "b/demo")
    assert run_names(Path("runs/x"), Path("runs/y")) == ("x", "y")


def test_benchmarks_of_redink_evaluate_are_told_apart(tmp_path):
    run = make_run(tmp_path / "made")
    results = json.loads((run / "results.json").read_text())
    first, second, _ = results["panels"]
    results["panels"] = [{**panel, "benchmark": name} for name in ("gsm8k", "svamp") for panel in (first, second)]
    (run / "results.json").write_text(json.dumps(results))
    (run / "problems.evaluation.jsonl").rename(run / "problems.gsm8k.jsonl")
    page = write_report(run).path.read_text()
    assert "4 problems of gsm8k · 4 problems of svamp" in page
    assert "gsm8k: Did the student get better?" in page and "svamp: Did the student get better?" in page
    assert "base → HSFT on gsm8k" in page and "on svamp" not in page


def test_one_student_alone_has_a_headline_of_its_own(tmp_path):
    run = make_run(tmp_path / "made")
    results = json.loads((run / "results.json").read_text())
    results["panels"] = [{**results["panels"][0], "benchmark": "gsm8k"}]
    (run / "results.json").write_text(json.dumps(results))
    assert "base solves 25.0\u00a0% of gsm8k." in write_report(run).path.read_text()

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import redink.prompts
from redink.failures import BadInput, Failure
from redink.prompts import Prompt, list_prompts, load_prompt

FIELDS = {
    "extract_thought": {"question", "solution"},
    "solve_hierarchical": {"question"},
    "correct_with_solution": {"question", "reference", "attempt"},
    "correct": {"question", "attempt"},
    "inspect_thought": {"question", "reference", "work"},
    "inspect_trace": {"question", "reference", "attempt", "work"},
    "judge_answer": {"question", "reference", "answer"},
    "judge_steps": {"question", "reference", "steps"},
    "judge_correction": {"question", "reference", "steps", "step", "correction"},
    "judge_chain": {"rubric", "question", "chain"},
    "rubric_chain": set(),
    "remarks": {"remarks"},
    "solve_in_steps": {"question"},
    "write_long_chain": {"question", "solution"},
    "refine_chain": {"question", "chain", "errors"},
    "refine_chain_unexposed": {"question", "chain"},
    "refine_as_teacher": {"question", "chain", "errors"},
    "rewrite_chain": {"question", "chain", "errors"},
    "reflect": {"question", "attempt"},
    "retry": {"question", "attempt", "reflections"},
    "style_cot": {"question"},
    "style_cot_hierarchy": {"question"},
    "style_cot_hierarchy_generalized": {"question"},
    "style_text": {"question"},
    "style_xml": {"question"},
    "solve_with_thoughts": {"question", "thoughts"},
    "question_with_thoughts": {"question", "thoughts"},
    "supercorrect_system": set(),
    "compact/solve": {"question"},
    "compact/solve_with_thoughts": {"question", "thoughts"},
    "compact/solve_hierarchical": {"question"},
    "compact/correct": {"question", "attempt"},
    "compact/refine_chain": {"question", "chain", "errors"},
    "compact/refine_chain_unexposed": {"question", "chain"},
    "compact/reflect": {"question", "attempt"},
    "compact/retry": {"question", "attempt", "reflections"},
}
GAPS = ["{{question}}", "{{solution}}", "{{reference}}", "{{attempt}}", "{{work}}", "{{", "}}", "\\1", "\\g<1>", "{0}"]
values = st.lists(st.sampled_from(GAPS) | st.text(max_size=5), max_size=6).map("".join)


def test_every_bundled_prompt_is_documented_here() -> None:
    assert list_prompts() == tuple(sorted(FIELDS))


@pytest.mark.parametrize("name", FIELDS)
def test_bundled_prompt_loads_with_its_fields(name: str) -> None:
    prompt = load_prompt(name)
    assert prompt.fields == FIELDS[name]
    assert prompt.text == prompt.text.strip()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("compact/solve", "Question: 1+1?\nSolution:"),
        ("compact/solve_hierarchical", "Question: 1+1?\nThought:"),
        ("compact/correct", "Question: 1+1?\nSolution:\n1+1=3\nReview:"),
    ],
)
def test_compact_prompts_read_as_agreed(name: str, expected: str) -> None:
    given_values = {"question": "1+1?", "attempt": "1+1=3"}
    prompt = load_prompt(name)
    assert prompt.render(**{field: given_values[field] for field in prompt.fields}) == expected


def test_style_xml_is_our_template() -> None:
    assert load_prompt("style_xml") == load_prompt("solve_hierarchical")


@pytest.mark.parametrize(
    ("name", "tags"),
    [
        ("extract_thought", ["Step1", "Key", "Generalized", "Answer"]),
        ("solve_hierarchical", ["Step1", "Key", "Generalized", "Answer"]),
        ("correct_with_solution", ["Step1", "Cause", "Correction", "Answer"]),
        ("correct", ["Step1", "Cause", "Correction", "Answer"]),
        ("inspect_thought", ["Remark", "Verdict"]),
        ("inspect_trace", ["Remark", "Verdict"]),
    ],
)
def test_prompts_ask_for_the_tags_that_are_read(name: str, tags: list[str]) -> None:
    text = load_prompt(name).text
    assert [tag for tag in tags if f"<{tag}>" not in text or f"</{tag}>" not in text] == []


@pytest.mark.parametrize("name", ["style_text", "style_cot", "style_cot_hierarchy", "style_cot_hierarchy_generalized"])
def test_plain_styles_ask_for_no_tags(name: str) -> None:
    assert "<" not in load_prompt(name).text


@given(question=values, solution=values)
def test_render_is_one_pass(question: str, solution: str) -> None:
    prompt = Prompt(name="p", text="Q {{question}} S {{solution}} again {{question}} {brace} $\\frac{1}{2}$")
    rendered = prompt.render(question=question, solution=solution)
    assert rendered == f"Q {question} S {solution} again {question} {{brace}} $\\frac{{1}}{{2}}$"


def test_missing_field_names_prompt_and_field() -> None:
    with pytest.raises(Failure, match=r"^prompts/correct\.md: there is no value for \{\{attempt\}\}") as failure:
        load_prompt("correct").render(question="q")
    assert "\n" not in str(failure.value)


def test_unknown_field_names_the_users_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_text("Solve {{question}}\n\n")
    prompt = load_prompt(str(file))
    assert prompt.text == "Solve {{question}}"
    assert prompt.render(question="1+1") == "Solve 1+1"
    with pytest.raises(Failure, match=r"mine\.md: the prompt has no \{\{answer\}\}, \{\{attempt\}\}\. Add it"):
        prompt.render(question="q", attempt="a", answer="b")


def test_users_file_may_carry_a_byte_order_mark_and_windows_newlines(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_bytes(b"\xef\xbb\xbfSolve\r\n{{question}}\r\n")
    assert load_prompt(str(file)).text == "Solve\n{{question}}"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("solve_heirarchical", "solve_hierarchical"),
        ("compact/solv", "compact/solve"),
        ("stylexml", "style_xml"),
        ("extract_thoughts.md", "extract_thought"),
    ],
)
def test_unknown_name_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(Failure, match=f"'{name}'.*Did you mean '{nearest}'") as failure:
        load_prompt(name)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(("content", "said"), [(b"\n \n", "is empty"), (b"\xff\xfe\x00", "is not UTF-8 text")])
def test_unusable_file_is_bad_input(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "mine.md"
    file.write_bytes(content)
    with pytest.raises(BadInput, match=f"mine.md: {said}"):
        load_prompt(str(file))


def test_folder_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        load_prompt(str(tmp_path))


def test_prompts_load_from_a_zipped_package(tmp_path: Path) -> None:
    """No path on disk: what a wheel or a zip application gives importlib.resources."""
    package = Path(redink.prompts.__file__).parent
    root = package.parent
    archive = tmp_path / "redink.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        modules = [root / name for name in ("types.py", "failures.py")]
        for file in (*modules, *package.rglob("*.py"), *package.rglob("*.md")):
            zipped.write(file, Path("redink") / file.relative_to(root))
        zipped.writestr("redink/__init__.py", "")
    code = "from redink.prompts import *; print(*(load_prompt(n).name for n in list_prompts()), load_prompt.__module__)"
    environment = {**os.environ, "PYTHONPATH": str(archive)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    names = [*sorted(set(FIELDS) - {"style_xml"}), "solve_hierarchical"]
    assert (sorted(done.stdout.split()), done.stderr) == (sorted([*names, "redink.prompts"]), "")

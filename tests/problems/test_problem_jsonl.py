"""Any JSONL becomes problems, or a complaint that names file, line and field."""

import json
from pathlib import Path

import pytest

from redink.failures import BadInput
from redink.problems import load_problems
from redink.problems.jsonl import split_final_answer
from redink.types import Problem


def write(folder: Path, *rows: object, name: str = "mine.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
    return path


def load(path: Path) -> list[Problem]:
    return load_problems(f"jsonl:{path}")


def test_full_and_bare_rows(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {"id": "x7", "question": " Q? ", "answer": "4", "solution": "2+2", "subject": "sums", "level": 3, "extra": [1]},
        "",
        {"problem": "P?", "answer": "5", "solution": None, "level": ""},
    )
    assert load(path) == [
        Problem(
            id="x7", question="Q?", answer="4", solution="2+2", subject="sums", level="3", source="jsonl:mine.jsonl"
        ),
        Problem(id="mine/1", question="P?", answer="5", source="jsonl:mine.jsonl"),
    ]


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        ("7", "7"),
        ("27.0", "27.0"),
        ("0.1", "0.1"),
        ("3244047.0999999996", "3244047.0999999996"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("-3", "-3"),
        ("0", "0"),
        ('" (1,2) "', "(1,2)"),
    ],
)
def test_answers_become_text(tmp_path: Path, written: str, answer: str) -> None:
    assert load(write(tmp_path, f'{{"question": "Q", "answer": {written}}}'))[0].answer == answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("48/2 = <<48/2=24>>24\n#### 1,080", ("48/2 = <<48/2=24>>24", "1080")),
        ("#### 1,234,567", (None, "1234567")),
        ("a #### b #### -0.5 ", ("a #### b", "-0.5")),
        (" 12 ", (None, "12")),
        ("1,080", (None, "1,080")),
    ],
)
def test_final_answer_is_split_off(text: str, expected: tuple[str | None, str]) -> None:
    assert split_final_answer(text) == expected


def test_own_solution_wins_over_the_one_in_the_answer(tmp_path: Path) -> None:
    rows = [{"question": "Q", "answer": "w #### 1,000"}, {"question": "R", "answer": "w #### 2", "solution": "s"}]
    assert [(row.solution, row.answer) for row in load(write(tmp_path, *rows))] == [("w", "1000"), ("s", "2")]


GOOD = {"question": "Q", "answer": "1"}
BAD = [
    ("malformed", ["{'question': 1}"], 1, None),
    ("not an object", [GOOD, "[1]"], 2, None),
    ("no question", [GOOD, {"answer": "1"}], 2, "question"),
    ("null question", [{"question": None, "answer": "1"}], 1, "question"),
    ("blank question", [{"question": "  ", "answer": "1"}], 1, "question"),
    ("blank problem", [{"problem": "", "answer": "1"}], 1, "problem"),
    ("no answer", [GOOD, "", {"question": "R"}], 3, "answer"),
    ("blank answer", [{"question": "Q", "answer": "\n"}], 1, "answer"),
    ("nothing after the mark", [{"question": "Q", "answer": "so ####"}], 1, "answer"),
    ("list answer", [{"question": "Q", "answer": ["1"]}], 1, "answer"),
    ("boolean answer", [{"question": "Q", "answer": True}], 1, "answer"),
    ("infinite answer", ['{"question": "Q", "answer": Infinity}'], 1, "answer"),
    ("no number", ['{"question": "Q", "answer": NaN}'], 1, "answer"),
    ("number for a question", [{"question": 5, "answer": "1"}], 1, "question"),
    ("object for a solution", [{**GOOD, "solution": {}}], 1, "solution"),
    ("number for a subject", [{**GOOD, "subject": 1.5}], 1, "subject"),
    ("boolean for a level", [{**GOOD, "level": False}], 1, "level"),
    ("list for an id", [{**GOOD, "id": []}], 1, "id"),
    ("half a surrogate pair", ['{"question": "\\ud800", "answer": "1"}'], 1, "question"),
    ("the same id twice", [{**GOOD, "id": "a"}, {**GOOD, "id": "b"}, {**GOOD, "id": "a"}], 3, "id"),
    ("an id like a default one", [{**GOOD, "id": "mine/1"}, GOOD], 2, "id"),
]


@pytest.mark.parametrize(("rows", "line", "field"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_row_is_named_by_file_line_and_field(
    tmp_path: Path, rows: list[object], line: int, field: str | None
) -> None:
    path = write(tmp_path, *rows)
    with pytest.raises(BadInput) as caught:
        load(path)
    assert (caught.value.path, caught.value.line, caught.value.field) == (str(path), line, field)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_duplicate_id_names_the_earlier_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'a' stands on line 1 too"):
        load(write(tmp_path, {**GOOD, "id": "a"}, {**GOOD, "id": "a"}))


@pytest.mark.parametrize("rows", [[], ["", "  "]])
def test_empty_file_is_named(tmp_path: Path, rows: list[object]) -> None:
    path = write(tmp_path, *rows)
    with pytest.raises(BadInput, match="holds no problems") as caught:
        load(path)
    assert caught.value.path == str(path)


def test_bare_path_limit_and_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, GOOD, {"question": "R", "answer": "2"})
    assert [row.id for row in load_problems(str(path), limit=1)] == ["mine/0"]
    assert len(load_problems("mine.jsonl", data_dir=tmp_path)) == 2
    monkeypatch.chdir(tmp_path)
    assert len(load_problems("jsonl:mine.jsonl", data_dir=tmp_path / "elsewhere")) == 2


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.jsonl: there is no such file"):
        load_problems("none.jsonl", data_dir=tmp_path)

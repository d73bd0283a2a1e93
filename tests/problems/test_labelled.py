"""Human-labelled solutions: ProcessBench, BIG-Bench-Mistake and one's own files."""

import json
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from redink.failures import BadInput, Failure
from redink.problems import SetCheck, check_labelled, list_labelled, load_labelled
from redink.problems.labelled import LABELLED
from redink.rows import write_rows
from redink.types import LabelledSolution, Step

REAL = Path(__file__).parents[2].parent / "shared" / "data"
needs_real_data = pytest.mark.skipif(
    not (REAL / "processbench_gsm8k.jsonl").exists(), reason="the real sets are not in ../shared/data"
)

PROCESS = {
    "id": "gsm8k-0",
    "generator": "some-model",
    "problem": "How many?",
    "steps": ["First, 2 + 2 = 4.", " Then 4 * 3 = 11. "],
    "final_answer_correct": False,
    "label": 1,
}
MISTAKE = {
    "input": "(1 + 2) * 3 =",
    "steps": ["1 + 2 = 3.", "3 * 3 = 9. So the answer is 9"],
    "target": "9",
    "answer": "9",
    "mistake_index": None,
}
STEPS = (Step(number=1, text="First, 2 + 2 = 4."), Step(number=2, text="Then 4 * 3 = 11."))


def write(folder: Path, name: str, *rows: Mapping[str, object]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_processbench_counts_from_zero_and_we_from_one(tmp_path: Path) -> None:
    right = {**PROCESS, "label": -1, "final_answer_correct": True}
    lucky = {**PROCESS, "label": 0, "final_answer_correct": True}
    write(tmp_path, "processbench_math", PROCESS, right, lucky)
    first, second, third = load_labelled("processbench/math", data_dir=tmp_path)
    assert first == LabelledSolution(
        id="processbench/math/0",
        question="How many?",
        steps=STEPS,
        first_wrong=2,
        answer_right=False,
        source="processbench/math",
    )
    assert (second.id, second.first_wrong, second.answer_right) == ("processbench/math/1", None, True)
    assert (third.first_wrong, third.answer_right) == (1, True)


def test_big_bench_mistake_has_gold_and_answer(tmp_path: Path) -> None:
    wrong = {**MISTAKE, "answer": "8", "mistake_index": 0}
    unheard = {**MISTAKE, "answer": "", "mistake_index": 1}
    write(tmp_path, "bigbench_mistake_multistep_arithmetic", MISTAKE, wrong, unheard)
    rows = load_labelled("bigbench_mistake/multistep_arithmetic", data_dir=tmp_path)
    assert [(row.first_wrong, row.answer_right, row.answer) for row in rows] == [
        (None, True, "9"),
        (1, False, "9"),
        (2, False, "9"),
    ]
    assert rows[0].question == "(1 + 2) * 3 ="
    assert [step.text for step in rows[0].steps] == MISTAKE["steps"]


BAD = [
    ("processbench/gsm8k", {**PROCESS, "label": 2}, "label"),
    ("processbench/gsm8k", {**PROCESS, "label": -2}, "label"),
    ("processbench/gsm8k", {**PROCESS, "label": True}, "label"),
    ("processbench/gsm8k", {**PROCESS, "label": "1"}, "label"),
    ("processbench/gsm8k", {key: value for key, value in PROCESS.items() if key != "label"}, "label"),
    ("processbench/gsm8k", {**PROCESS, "steps": []}, "steps"),
    ("processbench/gsm8k", {**PROCESS, "steps": ["a", 3]}, "steps"),
    ("processbench/gsm8k", {**PROCESS, "problem": " "}, "problem"),
    ("processbench/gsm8k", {**PROCESS, "final_answer_correct": "yes"}, "final_answer_correct"),
    ("bigbench_mistake/word_sorting", {**MISTAKE, "mistake_index": 2}, "mistake_index"),
    ("bigbench_mistake/word_sorting", {**MISTAKE, "mistake_index": -1}, "mistake_index"),
    ("bigbench_mistake/word_sorting", {key: MISTAKE[key] for key in ("input", "steps", "target")}, "mistake_index"),
    ("bigbench_mistake/word_sorting", {**MISTAKE, "target": None}, "target"),
]


@pytest.mark.parametrize(("name", "row", "field"), BAD)
def test_a_row_that_is_none_is_named(tmp_path: Path, name: str, row: dict[str, object], field: str) -> None:
    good = PROCESS if name.startswith("processbench") else MISTAKE
    write(tmp_path, name.replace("/", "_"), good, row)
    with pytest.raises(BadInput) as caught:
        load_labelled(name, data_dir=tmp_path)
    assert (caught.value.line, caught.value.field) == (2, field)


class Hub(types.ModuleType):
    """Stands in for the library `datasets` and notes what it is asked."""

    def __init__(self, rows: Sequence[Mapping[str, object]]) -> None:
        super().__init__("datasets")
        self.rows, self.asked = rows, [("", "", "", "")]

    def load_dataset(
        self, path: str, name: str | None = None, *, split: str, data_files: str = ""
    ) -> Sequence[Mapping[str, object]]:
        self.asked.append((path, name or "", split, data_files))
        if not self.rows:
            raise OSError("no network")
        return self.rows


@pytest.mark.parametrize("split", ["gsm8k", "math", "olympiadbench", "omnimath"])
def test_processbench_from_the_hub(monkeypatch: pytest.MonkeyPatch, split: str) -> None:
    hub = Hub([PROCESS])
    monkeypatch.setitem(sys.modules, "datasets", hub)
    assert [row.id for row in load_labelled(f"processbench/{split}")] == [f"processbench/{split}/0"]
    assert hub.asked[1:] == [("Qwen/ProcessBench", "", split, "")]


def test_big_bench_mistake_from_its_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub([MISTAKE])
    monkeypatch.setitem(sys.modules, "datasets", hub)
    assert load_labelled("bigbench_mistake/logical_deduction")[0].answer == "9"
    address = "https://raw.githubusercontent.com/WHGTyen/BIG-Bench-Mistake/main/logical_deduction.jsonl"
    assert hub.asked[1:] == [("json", "", "train", address)]


@pytest.mark.parametrize("name", ["processbench/omnimath", "bigbench_mistake/dyck_languages"])
def test_a_failed_download_names_the_file_to_give(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, "datasets", Hub([]))
    with pytest.raises(Failure) as caught:
        load_labelled(name)
    assert name.replace("/", "_") + ".jsonl" in caught.value.remedy
    assert "no network" in caught.value.what


def own(**other: object) -> LabelledSolution:
    fields = {"id": "a", "question": "Q", "steps": STEPS, "first_wrong": 1}
    return LabelledSolution.model_validate({**fields, **other})


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    rows = [own(), own(id="b", first_wrong=None, answer="11")]
    write_rows(tmp_path / "mine.jsonl", rows)
    assert load_labelled(f"jsonl:{tmp_path}/mine.jsonl") == rows
    assert load_labelled("jsonl:mine.jsonl", data_dir=tmp_path, limit=1) == rows[:1]


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (own(), "id"),
        (own(id="b", first_wrong=3), "first_wrong"),
        (own(id="b", first_wrong=0), "first_wrong"),
        (own(id="b", steps=STEPS[1:]), "steps"),
    ],
)
def test_a_row_of_ones_own_that_is_none_is_named(tmp_path: Path, row: LabelledSolution, field: str) -> None:
    write_rows(tmp_path / "mine.jsonl", [own(), row])
    with pytest.raises(BadInput) as caught:
        load_labelled(f"jsonl:{tmp_path}/mine.jsonl")
    assert (caught.value.line, caught.value.field) == (2, field)


def test_an_empty_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    with pytest.raises(BadInput, match="no labelled solutions"):
        load_labelled(f"jsonl:{tmp_path}/none.jsonl")
    with pytest.raises(BadInput, match="no such file"):
        load_labelled("processbench/gsm8k", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("processbench/gsm", "Did you mean 'processbench/gsm8k'?"),
        ("bigbench_mistake/word_sort", "Did you mean 'bigbench_mistake/word_sorting'?"),
        ("qqqq", "There are processbench/gsm8k, "),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, remedy: str) -> None:
    with pytest.raises(Failure) as caught:
        load_labelled(name)
    assert caught.value.remedy.startswith(remedy)


def test_limit_starts_at_one(tmp_path: Path) -> None:
    write(tmp_path, "processbench_gsm8k", PROCESS, PROCESS)
    assert len(load_labelled("processbench/gsm8k", data_dir=tmp_path, limit=1)) == 1
    with pytest.raises(Failure, match="at least 1"):
        load_labelled("processbench/gsm8k", data_dir=tmp_path, limit=0)


def test_a_check_sees_labels_and_steps_but_not_the_order(tmp_path: Path) -> None:
    rows = [{**PROCESS, "problem": f"Q{index}"} for index in range(3)]
    write(tmp_path, "processbench_gsm8k", *rows)
    checks: list[SetCheck] = []
    found = load_labelled("processbench/gsm8k", data_dir=tmp_path, limit=2, checks=checks)
    assert (checks[0].ok, checks[0].rows, checks[0].note) == (False, 3, "400 rows were expected")
    whole = load_labelled("processbench/gsm8k", data_dir=tmp_path)
    assert check_labelled("processbench/gsm8k", whole[::-1]) == checks[0]
    relabelled = [whole[0].model_copy(update={"first_wrong": None}), *whole[1:]]
    assert check_labelled("processbench/gsm8k", relabelled).fingerprint != checks[0].fingerprint
    assert check_labelled("jsonl:x", found).ok


def test_list_names_every_set_once() -> None:
    names = [info.name for info in list_labelled()]
    assert names == [*LABELLED, "jsonl:<path>"]
    assert all(info.description and info.needs for info in list_labelled())


REAL_COUNTS = [
    # rows, no step wrong, right answers, right answers with a wrong step: counted from the raw fields
    ("processbench/gsm8k", 400, 193, 200, 7),
    ("processbench/math", 1000, 406, 500, 94),
    ("bigbench_mistake/multistep_arithmetic", 300, 62, 45, 1),
]


@needs_real_data
@pytest.mark.parametrize(("name", "rows", "clean", "right", "lucky"), REAL_COUNTS)
def test_real_sets(name: str, rows: int, clean: int, right: int, lucky: int) -> None:
    checks: list[SetCheck] = []
    found = load_labelled(name, data_dir=REAL, checks=checks)
    assert checks[0].ok, checks[0].note
    assert len(found) == len({row.id for row in found}) == rows
    assert sum(row.first_wrong is None for row in found) == clean
    assert sum(row.answer_right is True for row in found) == right
    assert sum(row.answer_right is True and row.first_wrong is not None for row in found) == lucky

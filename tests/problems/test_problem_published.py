"""GSM8K and MATH: from small hand-made files, from a hub that stands in, and from the real files where they are."""

import json
import re
import sys
import types
from collections import Counter
from pathlib import Path

import pytest

from redink.failures import BadInput, Failure
from redink.problems import load_problems, refuse_overlap
from redink.problems.published import last_boxed
from redink.types import Problem, Quarantined

REAL = Path(__file__).parents[2].parent / "shared" / "data"
needs_real_data = pytest.mark.skipif(
    not (REAL / "math_train.jsonl").exists(), reason="the real sets are not in ../shared/data"
)

GSM8K_ROW = {"question": "How many?", "answer": "Half is <<48/2=24>>24.\nAll are <<24*50=1200>>1,200.\n#### 1,200"}


def math_row(problem: str, boxed: str, **other: str) -> dict[str, str]:
    row = {"problem": problem, "solution": f"So \\boxed{{{boxed}}}.", "answer": boxed, "subject": "Algebra"}
    return {**row, "level": "Level 4", **other}


def write(folder: Path, name: str, rows: list[dict[str, str]]) -> None:
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_gsm8k_keeps_annotations_and_drops_commas_of_the_answer(tmp_path: Path) -> None:
    write(tmp_path, "gsm8k_test", [GSM8K_ROW, {"question": "Who?", "answer": "#### -5"}])
    assert load_problems("gsm8k", data_dir=tmp_path, split="test") == [
        Problem(
            id="gsm8k/test/0",
            question="How many?",
            answer="1200",
            solution="Half is <<48/2=24>>24.\nAll are <<24*50=1200>>1,200.",
            subject="gsm8k",
            source="gsm8k/test",
        ),
        Problem(id="gsm8k/test/1", question="Who?", answer="-5", subject="gsm8k", source="gsm8k/test"),
    ]


@pytest.mark.parametrize("answer", ["no mark 5", "ends ####", 5])
def test_gsm8k_without_a_final_answer_is_refused(tmp_path: Path, answer: object) -> None:
    rows = [GSM8K_ROW, {"question": "Q", "answer": answer}]
    write(tmp_path, "gsm8k_train", rows)  # type: ignore[arg-type]
    with pytest.raises(BadInput) as caught:
        load_problems("gsm8k", data_dir=tmp_path)
    assert (caught.value.line, caught.value.field) == (2, "answer")


def test_math_leaves_out_what_cannot_serve(tmp_path: Path) -> None:
    train = [
        math_row("Find $x - 1$.", "2"),
        math_row("Stands in both?", "3"),
        math_row("No answer.", ""),
        math_row("No level.", "4", level="Level ?"),
    ]
    write(tmp_path, "math_train", train)
    write(tmp_path, "math_test", [math_row("stands in  BOTH", "3"), math_row("Find $x + 1$.", "5")])
    held: list[Quarantined] = []
    found = load_problems("math", data_dir=tmp_path, set_aside=held)
    assert [(row.problem_id, row.reason) for row in held] == [
        ("math/train/2", "empty_gold"),
        ("math/train/1", "stands_in_test"),
    ]
    assert json.loads(held[0].raw) == train[2]
    assert len(found) + len(held) == len(train)
    assert [(row.id, row.answer, row.level) for row in found] == [
        ("math/train/0", "2", "Level 4"),
        ("math/train/3", "4", None),
    ]
    assert found[0].solution == "So \\boxed{2}."
    assert (found[0].subject, found[0].source) == ("Algebra", "math/train")
    assert len(load_problems("math", data_dir=tmp_path, split="test")) == 2


def test_math_train_alone_keeps_all_it_can(tmp_path: Path) -> None:
    write(tmp_path, "math_train", [math_row("Q", "1"), math_row("R", "2")])
    assert len(load_problems("math", data_dir=tmp_path, limit=5)) == 2


def test_math_without_answer_or_box_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "math_test", [{"problem": "Q", "solution": "It is 4."}])
    with pytest.raises(BadInput) as caught:
        load_problems("math", data_dir=tmp_path, split="test")
    assert (caught.value.line, caught.value.field) == (1, "answer")


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("\\boxed{1} then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\fbox{7}", "7"),
        ("$\\boxed 2$", "2"),
        ("\\boxed{}", ""),
        ("\\boxed{\\{1, 2\\}} rest}", "\\{1, 2\\}"),
        ("\\boxed{a\\\\}", "a\\\\"),
        ("\\boxed{never closed", None),
        ("none", None),
    ],
)
def test_last_boxed(solution: str, answer: str | None) -> None:
    assert last_boxed(solution) == answer


@pytest.mark.parametrize("name", ["gsm8k", "math"])
def test_missing_file_names_the_folder_option(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_problems(name, data_dir=tmp_path)
    assert caught.value.path.endswith(f"{name}_train.jsonl")
    assert "--data-dir" in caught.value.remedy


def test_unknown_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"no split 'validation'.* train and test"):
        load_problems("gsm8k", data_dir=tmp_path, split="validation")


class Hub(types.ModuleType):
    """Stands in for the library `datasets`: answers from `rows`, or fails as a download does."""

    def __init__(self, rows: dict[tuple[str, str, str], list[dict[str, str]]]) -> None:
        super().__init__("datasets")
        self.rows = rows

    def load_dataset(self, repository: str, config: str, *, split: str) -> list[dict[str, str]]:
        if not self.rows:
            raise ConnectionError("Couldn't reach the hub.\nsecond line")
        return self.rows.get((repository, config, split), [])


def test_gsm8k_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", Hub({("openai/gsm8k", "main", "test"): [GSM8K_ROW]}))
    assert [(row.id, row.answer) for row in load_problems("gsm8k", split="test")] == [("gsm8k/test/0", "1200")]


def test_math_from_the_hub_has_its_answer_from_the_box(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "EleutherAI/hendrycks_math"
    one = {"problem": "P", "solution": "\\boxed{1}", "type": "Algebra", "level": "Level 1"}
    two = {"problem": "R", "solution": "\\boxed{2}", "type": "Precalculus", "level": "Level 5"}
    rows = {
        (name, "algebra", "train"): [one],
        (name, "precalculus", "train"): [two],
        (name, "algebra", "test"): [{**two, "problem": "p"}],
    }
    monkeypatch.setitem(sys.modules, "datasets", Hub(rows))
    assert load_problems("math") == [
        Problem(
            id="math/train/1",
            question="R",
            answer="2",
            solution="\\boxed{2}",
            subject="Precalculus",
            level="Level 5",
            source="math/train",
        )
    ]


@pytest.mark.parametrize("module", [Hub({}), None])
def test_failed_download_names_the_remedy_in_one_line(
    monkeypatch: pytest.MonkeyPatch, module: types.ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", module)
    with pytest.raises(Failure) as caught:
        load_problems("gsm8k")
    assert "--data-dir" in caught.value.remedy
    assert "gsm8k_train.jsonl" in caught.value.remedy
    assert "\n" not in str(caught.value)


@needs_real_data
@pytest.mark.parametrize(("split", "count"), [("train", 7473), ("test", 1319)])
def test_real_gsm8k(split: str, count: int) -> None:
    problems = load_problems("gsm8k", data_dir=REAL, split=split)
    assert len(problems) == count
    assert all(re.fullmatch(r"-?\d+(\.\d+)?", row.answer) for row in problems)
    assert all(row.solution and "####" not in row.solution for row in problems)
    first = json.loads((REAL / f"gsm8k_{split}.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert f"{problems[0].solution}\n#### {problems[0].answer}" == first["answer"]


@needs_real_data
def test_real_math() -> None:
    held: list[Quarantined] = []
    train, test = (load_problems("math", data_dir=REAL, split=split, set_aside=held) for split in ("train", "test"))
    assert Counter(row.reason for row in held) == {"empty_gold": 2, "stands_in_test": 4}
    # 7500 rows, less 2 that end in \boxed{} and 4 that stand in test too, two of these in another spelling of LaTeX
    assert (len(train), len(test)) == (7494, 5000)
    assert Counter(row.level for row in train)[None] == 2
    assert all(row.answer == last_boxed(row.solution or "") for row in train + test)
    refuse_overlap(train=train, test=test)

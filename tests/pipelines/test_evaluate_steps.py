"""First wrong steps end to end: student, judge, teacher, reference and dummies on the same solutions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stand_ins import ATTEMPT, CORRECT, GREEDY, PROBLEM, TRACE, Desk, SayingStudent

from redink.evaluation.labelled import golds_for
from redink.evaluation.step_errors import judged_step_errors
from redink.evaluation.step_judge import StepJudge
from redink.failures import Failure, MarkupFailure, Unteachable
from redink.models.scripted import ScriptedChat
from redink.pipelines.step_errors import (
    JudgeReviewer,
    ReferenceReviewer,
    StudentReviewer,
    TeacherReviewer,
    evaluate_steps,
    given_location_table,
    judge_corrections,
    labelled_table,
    marked,
    step_errors_table,
)
from redink.problems.jsonl import split_final_answer
from redink.progress import quiet
from redink.prompts import Prompt
from redink.types import LabelledSolution, LocatedError, Problem, Review, Step, Verdict

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
WORKED = PROBLEM.model_copy(update={"solution": "47 + 38 = 85\n85 - 20 = 65\n65 + 1 = 66"})
MARK = Prompt(name="mark", text="{{question}}|{{reference}}|{{steps}}")


def solution(
    name: str, first_wrong: int | None, *texts: str, question: str = PROBLEM.question, answer: str | None = None
) -> LabelledSolution:
    steps = tuple(Step(number=n, text=text) for n, text in enumerate(texts, start=1))
    return LabelledSolution(
        id=name, question=question, steps=steps, first_wrong=first_wrong, answer=answer,
        answer_right=None if answer is None else False, source="made",
    )  # fmt: skip


SLIP = solution("a", 2, "47 + 38 = 85", "85 - 20 = 75", "75 + 1 = 76")
SOUND = solution("b", None, "47 + 38 = 85", "85 - 20 = 65", "65 + 1 = 66")
OTHER = solution("c", 1, "1 + 1 = 3", question="Another?")
ROWS = [SLIP, SOUND, OTHER]
MARKED = "<Step1>47 + 38 = 85</Step1><Step2>x<Cause>c</Cause><Correction>d</Correction></Step2><Answer>1</Answer>"
ALL_RIGHT = "<Step1>47 + 38 = 85</Step1><Answer>1</Answer>"


class Named(SayingStudent):
    name = "talker"


def reviewer(*replies: str) -> StudentReviewer:
    return StudentReviewer(Named(*replies), CORRECT, GREEDY)  # type: ignore[arg-type]


def test_a_student_and_the_dummies() -> None:
    """The student marks step 2, nothing, nothing: 1 of 2 wrong ones, 1 of 1 right ones; F1 = 2 · ½ / 1½ = 2/3."""
    found = evaluate_steps("made", ROWS, [reviewer(MARKED, ALL_RIGHT, ALL_RIGHT)])
    student, right, first = found.figures
    assert (student.reviewer, student.f1.value, student.exact.value) == (
        "talker",
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
    )
    assert (right.reviewer, right.exact.value, first.reviewer, first.exact.value) == (
        "always_right", pytest.approx(1 / 3), "always_first", pytest.approx(1 / 3),
    )  # fmt: skip
    assert (found.solutions, found.with_error, found.given_location) == (3, 2, {})
    table = labelled_table(found)
    assert [row[0] for row in table.rows] == ["talker", "always_right", "always_first"]
    assert table.rows[0][1].startswith("66.7 [") and "n = 3, of them 2" in table.note
    json.loads(found.model_dump_json())


def test_a_student_is_shown_where_the_error_is_if_answers_are_known() -> None:
    slip = solution("a", 2, "47 + 38 = 85", "85 - 20 = 75", answer="66")
    mended = "so</Cause><Correction>65</Correction></Step2><Step3>66</Step3><Answer>66</Answer>"
    asked = reviewer(MARKED, mended)
    found = evaluate_steps("made", [slip], [asked])
    assert [request.prefix for request in asked.student.requests] == [  # type: ignore[attr-defined]
        "", "<Step1>47 + 38 = 85</Step1>\n<Step2>85 - 20 = 75<Cause>",
    ]  # fmt: skip
    given = found.given_location["talker"]
    assert (given.given.value, given.unaided.value if given.unaided else None) == (1.0, 0.0)
    assert given_location_table(found).rows[0][0] == "talker"


def test_a_judge_sees_gold_solutions_where_there_are_any() -> None:
    chat = ScriptedChat(
        lambda request: "<Verdict>2</Verdict>" if "85 - 20 = 75" in request.messages[0].content else "?", name="gpt"
    )
    found = evaluate_steps("made", ROWS, [JudgeReviewer(StepJudge(chat, MARK), golds_for(ROWS, [WORKED]))])
    figures = found.figures[0]
    assert (figures.reviewer, figures.exact_wrong.value, figures.exact_right.value) == ("gpt", 0.5, 0.0)
    assert (figures.unreadable.value, figures.f1.value) == (pytest.approx(2 / 3), 0.0)
    assert sum("65 + 1 = 66|" in request.messages[0].content for request in chat.requests) == 2


def test_a_teacher_reviews_what_it_has_gold_for() -> None:
    """a is marked at step 2, b comes back unlocated; c has no gold solution and is left out, not missed."""
    desk = Desk({"p1": [TRACE, Unteachable("unlocated", "", "")]})
    found = evaluate_steps("made", ROWS, [TeacherReviewer("desk", desk, golds_for(ROWS, [WORKED]), window=1)])
    figures = found.figures[0]
    assert (figures.exact.value, figures.exact.n, figures.left_out, figures.f1.value) == (1.0, 2, 1, 1.0)
    assert figures.unreadable.value == 0.0
    silent = Desk({"p1": [MarkupFailure("no_steps", 0), Unteachable("lucky_answer", "", "")]})
    failed = evaluate_steps("made", ROWS, [TeacherReviewer("desk", silent, golds_for(ROWS, [WORKED]), window=1)])
    assert failed.figures[0].unreadable.value == 1.0


def test_the_reference_rule_finds_the_slip() -> None:
    figures = evaluate_steps("made", ROWS, [ReferenceReviewer(golds_for(ROWS, [WORKED]))]).figures[0]
    assert (figures.exact_wrong.value, figures.exact_right.value, figures.left_out) == (1.0, 1.0, 1)


def test_markings_are_kept_and_not_made_again(tmp_path: Path) -> None:
    asked = reviewer(*[ALL_RIGHT] * 300)
    many = [SLIP.model_copy(update={"id": str(number)}) for number in range(300)]
    first = marked(asked, many, tmp_path)
    assert [len(path.read_text().splitlines()) for path in sorted(tmp_path.rglob("*.jsonl"))] == [256, 44]
    sorted(tmp_path.rglob("*.jsonl"))[1].unlink()
    again = reviewer(*[ALL_RIGHT] * 44)
    assert marked(again, many, tmp_path) == first
    assert len(again.student.requests) == 44  # type: ignore[attr-defined]
    other = StudentReviewer(Named(MARKED), Prompt(name="x", text="{{question}} {{attempt}}!"), GREEDY)  # type: ignore[arg-type]
    assert marked(other, many[:1], tmp_path)[0].step == 2


class Choking(Named):
    """Cannot be shown one solution."""

    def generate(self, requests, sampling, advance=quiet):  # type: ignore[no-untyped-def]
        if any("poison" in request.prompt for request in requests):
            raise ValueError("too odd")
        return super().generate(requests, sampling, advance)


def test_a_solution_that_cannot_be_shown_costs_only_itself(tmp_path: Path) -> None:
    odd = SLIP.model_copy(update={"id": "odd", "question": "poison"})
    asked = StudentReviewer(Choking(MARKED, ALL_RIGHT), CORRECT, GREEDY)  # type: ignore[arg-type]
    markings = marked(asked, [SLIP, odd, SOUND], tmp_path)
    assert [(row.id, row.step, row.readable) for row in markings] == [
        ("a", 2, True), ("odd", None, False), ("b", None, True),
    ]  # fmt: skip
    assert markings[1].text == "not made: ValueError: too odd"


def test_what_a_student_mended_is_kept_with_the_step_that_it_was_shown(tmp_path: Path) -> None:
    slip = solution("a", 2, "47 + 38 = 85", "85 - 20 = 75", answer="66")
    mended = "so</Cause><Correction>65</Correction></Step2><Step3>66</Step3><Answer>66</Answer>"
    first = evaluate_steps("made", [slip], [reviewer(MARKED, mended)], tmp_path).given_location
    again = reviewer()
    assert evaluate_steps("made", [slip], [again], tmp_path).given_location == first
    other = reviewer("<Answer>1</Answer>")
    moved = evaluate_steps("made", [slip.model_copy(update={"first_wrong": 1})], [other], tmp_path)
    assert [request.prefix for request in other.student.requests] == ["<Step1>47 + 38 = 85<Cause>"]  # type: ignore[attr-defined]
    assert moved.given_location["talker"].given.value == 0.0


def test_other_weights_under_the_same_name_are_another_student(tmp_path: Path) -> None:
    """Only the student that was trained anew is asked again; the one beside it is not."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"old")

    def asked() -> list[int]:
        """How many solutions each student is shown."""
        counts = []
        for folder in folders:
            student = reviewer(MARKED)
            student.student.name = str(folder)
            marked(student, [SLIP], tmp_path / "kept")
            counts.append(len(student.student.requests))  # type: ignore[attr-defined]
        return counts

    assert asked() == [1, 1]
    assert asked() == [0, 0]
    (folders[1] / "model.safetensors").write_bytes(b"new")
    assert asked() == [0, 1]


def test_what_no_journal_kept_is_asked_again(tmp_path: Path) -> None:
    """A judge's failure for its server's sake is no marking for good."""
    judges = [
        JudgeReviewer(StepJudge(ScriptedChat([text]), MARK)) for text in ("the server fails", "<Verdict>2</Verdict>")
    ]
    assert [marked(judge, [SLIP], tmp_path)[0].readable for judge in judges] == [False, True]


def test_an_empty_set_is_one_line() -> None:
    with pytest.raises(Failure, match="no solution to review"):
        evaluate_steps("made", [], [])


def test_table_6_by_a_judge_leaves_right_attempts_out() -> None:
    """The judge says step 2 of the wrong attempt, and that the correction is right; the right attempt is not asked about."""
    chat = ScriptedChat(
        lambda request: "<Verdict>right</Verdict>" if "ONLY" in request.messages[0].content else "<Verdict>2</Verdict>",
        name="gpt",
    )
    mend = Prompt(name="mend", text="ONLY {{question}}{{reference}}{{steps}}{{step}}{{correction}}")
    judge = StepJudge(chat, MARK, mend)
    error = LocatedError(step=2, cause="c", correction="65")
    review = Review(problem_id="p1", sample=4, text="", error=error, verdict=Verdict(outcome="right"))
    right = ATTEMPT.model_copy(update={"verdict": Verdict(outcome="right")})
    (judged,) = judge_corrections(judge, [PROBLEM] * 2, [ATTEMPT, right], [review, review])
    assert judged.said == "<Verdict>2</Verdict>"
    found = judged_step_errors([judged], "gpt")
    assert (found.locate.value, found.locate.n, found.correct.value) == (1.0, 1, 1.0)
    assert len(chat.requests) == 2
    table = step_errors_table("Table 6", {"hsft": found})
    assert table.rows[0][:3] == ("hsft", "1", "1") and "gpt" in table.note


def test_the_reference_rule_on_processbench() -> None:
    """Counted anew: first wrong steps of the rule against the labels, straight from the files."""
    if not (DATA / "processbench_gsm8k.jsonl").exists():
        pytest.skip("processbench_gsm8k.jsonl is not here")
    from redink.problems.labelled import load_labelled
    from redink.teaching.reference import first_wrong_step

    golds = []
    for split in ("train", "test"):
        for number, line in enumerate((DATA / f"gsm8k_{split}.jsonl").read_text("utf-8").rstrip("\n").split("\n")):
            row = json.loads(line)
            answer, worked = split_final_answer(row["answer"])
            golds.append(Problem(id=f"{split}{number}", question=row["question"], answer=str(answer), solution=worked))
    solutions = load_labelled("processbench/gsm8k", data_dir=DATA)
    known = golds_for(solutions, golds)
    figures = evaluate_steps("processbench/gsm8k", solutions, [ReferenceReviewer(known)]).figures[0]
    assert figures.left_out == 400 - len(known) and len(known) >= 380
    hits = {True: [0, 0], False: [0, 0]}
    for line, row in zip(
        (DATA / "processbench_gsm8k.jsonl").read_text("utf-8").rstrip("\n").split("\n"), solutions, strict=True
    ):
        label = json.loads(line)["label"]
        if row.id in known:
            steps = [step.model_copy(update={"text": step.text.strip()}) for step in row.steps]
            hits[label >= 0][0] += (first_wrong_step(known[row.id], steps) or 0) - 1 == label
            hits[label >= 0][1] += 1
    wrong, right = (hits[kind][0] / hits[kind][1] for kind in (True, False))
    assert figures.f1.value == pytest.approx(2 * wrong * right / (wrong + right))
    assert figures.exact_wrong.value == pytest.approx(wrong)

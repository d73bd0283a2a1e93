"""The student: one rendering of prompt and reply, batches that change nothing, stops, seeds, bad model folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny import tiny_folder, tiny_student, tokenizer

from redink.failures import MissingModel
from redink.models.student import Completion, Request, Sampling, Student, derived_seed
from redink.training.encoding import Lesson
from redink.training.hsft import train_hsft
from redink.training.settings import HSFTSettings

QUESTIONS = ("Question 1", "Question 22 + 3 = how many apples", "x", "Question 4: <Step1>5 + 6 = 11</Step1>")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Student:
    return tiny_student(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Student:
    """Knows four replies by heart; each goes on after </Answer>, and the longer the number the longer it goes on."""
    folder = tmp_path_factory.mktemp("taught")
    student = tiny_student(folder / "base", hidden=32)
    lessons = [Lesson(f"Question {n}", f"<Answer>{n}</Answer>" + " and" * n) for n in range(1, 5)]
    settings = HSFTSettings(epochs=80, learning_rate=1e-2, batch_size=4, save_every=1000)
    train_hsft(student, lessons, settings, folder / "taught")
    return student


def texts(replies: list[list[Completion]]) -> list[list[str]]:
    return [[reply.text for reply in drawn] for drawn in replies]


# ---------------------------------------------------------------- rendering


def test_without_a_chat_template_the_prompt_is_its_text_and_a_newline(student: Student) -> None:
    assert student.tokenizer.decode(student.prompt_ids("Question 7")) == "Question 7\n"


def test_with_a_chat_template_the_prompt_is_the_users_turn_and_the_assistants_opening(tmp_path: Path) -> None:
    student = tiny_student(tmp_path, chat=True)
    assert student.tokenizer.decode(student.prompt_ids("Question 7")) == "[user]Question 7[end][assistant]"


@pytest.mark.parametrize(("ends", "last"), [(True, [1]), (False, [])])
def test_a_reply_ends_with_end_of_sequence_only_where_it_ended(student: Student, ends: bool, last: list[int]) -> None:
    plain = student.reply_ids("<Answer>7</Answer>")
    assert 1 not in plain
    assert student.reply_ids("<Answer>7</Answer>", ends) == plain + last
    assert student.eos_id == 1


def test_an_empty_reply_has_no_tokens(student: Student) -> None:
    assert student.reply_ids("") == []
    assert student.reply_ids("", ends=True) == [1]


# ---------------------------------------------------------------- batches


def alone(student: Student, request: Request, tokens: int) -> str:
    """Greedy, one row, no padding, no cache: argmax by argmax over the whole text so far."""
    ids = student.prompt_ids(request.prompt) + student.reply_ids(request.prefix)
    start = len(ids)
    for _ in range(tokens):
        with torch.inference_mode():
            logits = student.model(input_ids=torch.tensor([ids])).logits[0, -1]
        ids.append(int(logits.argmax()))
        if ids[-1] == student.eos_id:
            break
    return str(student.tokenizer.decode(ids[start:], skip_special_tokens=True))


@pytest.mark.parametrize("prefix", ["", "<Step1>2 + 3 = 5</Step1>\n"])
def test_left_padding_changes_no_greedy_reply(student: Student, prefix: str) -> None:
    requests = [Request(question, prefix) for question in QUESTIONS]
    greedy = Sampling(max_new_tokens=12, stop=())
    expected = [[alone(student, request, 12)] for request in requests]
    assert len({reply[0] for reply in expected}) > 1, "the random student answers everything alike: no test"
    assert texts(student.generate(requests, greedy)) == expected


@pytest.mark.parametrize("batch_rows", [1, 2, 3])
def test_the_batch_size_changes_no_greedy_reply_and_their_order_is_that_of_the_requests(
    taught: Student, batch_rows: int
) -> None:
    requests = [Request(f"Question {n}") for n in (3, 1, 4, 2)]
    replies = taught.generate(requests, Sampling(max_new_tokens=20, stop=(), batch_rows=batch_rows))
    assert texts(replies) == [[f"<Answer>{n}</Answer>" + " and" * n] for n in (3, 1, 4, 2)]


def test_progress_counts_every_reply(student: Student) -> None:
    done: list[int] = []
    sampling = Sampling(temperature=1.0, max_new_tokens=2, samples=3, batch_rows=4)
    student.generate([Request(q) for q in QUESTIONS], sampling, lambda units=1, note="": done.append(units))
    assert sum(done) == len(QUESTIONS) * 3


def test_no_request_gives_no_reply(student: Student) -> None:
    assert student.generate([], Sampling()) == []


# ---------------------------------------------------------------- seeds


def test_the_same_seed_draws_the_same_replies_and_another_seed_others(student: Student) -> None:
    requests = [Request(question) for question in QUESTIONS]

    def draw(seed: int) -> list[list[str]]:
        sampling = Sampling(temperature=1.0, max_new_tokens=10, stop=(), seed=seed, samples=2, batch_rows=3)
        return texts(student.generate(requests, sampling))

    first = draw(5)
    torch.manual_seed(1234)  # what else happened in the process must not matter
    assert draw(5) == first
    assert draw(6) != first
    assert [len(drawn) for drawn in first] == [2, 2, 2, 2]
    assert any(drawn[0] != drawn[1] for drawn in first), "two samples of one problem are drawn apart"


def test_derived_seeds_are_fixed_31_bit_numbers() -> None:
    # first four bytes of sha256(b"0/hsft") with the top bit cleared, by: printf 0/hsft | sha256sum
    import hashlib

    assert derived_seed(0, "hsft") == int(hashlib.sha256(b"0/hsft").hexdigest()[:8], 16) & 0x7FFFFFFF
    assert derived_seed(0, "hsft") != derived_seed(1, "hsft")
    assert all(0 <= derived_seed(n) < 2**31 for n in range(50))


# ---------------------------------------------------------------- ends


def test_a_stop_string_stays_in_the_text_and_ends_it(taught: Student) -> None:
    replies = taught.generate([Request(f"Question {n}") for n in (1, 4)], Sampling(max_new_tokens=20))
    assert replies == [[Completion(f"<Answer>{n}</Answer>", "stop", 3)] for n in (1, 4)]


def test_without_the_stop_string_the_reply_runs_to_its_end_of_sequence(taught: Student) -> None:
    (first,), (second,) = taught.generate([Request("Question 1"), Request("Question 4")], Sampling(stop=()))
    assert (first.text, first.finish) == ("<Answer>1</Answer> and", "end")
    assert (second.text, second.finish) == ("<Answer>4</Answer> and and and and", "end")
    assert first.tokens < second.tokens
    assert not first.truncated


def test_a_reply_that_reaches_the_limit_is_truncated(taught: Student) -> None:
    ((reply,),) = taught.generate([Request("Question 4")], Sampling(max_new_tokens=2, stop=()))
    assert reply == Completion("<Answer>4", "length", 2)
    assert reply.truncated


def test_the_reply_goes_on_after_the_prefix_without_repeating_it(taught: Student) -> None:
    ((reply,),) = taught.generate([Request("Question 3", prefix="<Answer>")], Sampling(max_new_tokens=20))
    assert reply.text == "3</Answer>"


def test_a_stop_string_in_the_prompt_does_not_stop_the_reply(taught: Student) -> None:
    ((reply,),) = taught.generate([Request("Question 3", prefix="<Answer>3</Answer>")], Sampling(max_new_tokens=9))
    assert reply.text.startswith(" and")


@pytest.mark.parametrize(
    ("ids_of", "finish", "text"),
    [
        ("ab</Answer>", "stop", "ab</Answer>"),
        ("ab</Answer>cd", "stop", "ab</Answer>"),
        ("ab</Step2>x</Answer>", "stop", "ab</Step2>"),
        ("ab", "length", "ab"),
    ],
)
def test_the_earliest_stop_string_decides(student: Student, ids_of: str, finish: str, text: str) -> None:
    sampling = Sampling(stop=("</Answer>", "</Step2>"))
    assert student.completion(student.reply_ids(ids_of), sampling) == Completion(
        text,
        finish,
        len(student.reply_ids(ids_of)),  # type: ignore[arg-type]
    )


def test_padding_after_an_early_stop_is_no_token_of_the_reply(student: Student) -> None:
    ids = student.reply_ids("<Answer>7</Answer>")
    assert student.completion([*ids, 0, 0, 0], Sampling()) == Completion("<Answer>7</Answer>", "stop", 3)


# ---------------------------------------------------------------- bad input


def with_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def without_eos(folder: Path) -> None:
    made = tokenizer()
    made.eos_token = None
    made.save_pretrained(folder)


def cut_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:3000])


def pickled_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def weights_of_gpt2(folder: Path) -> None:
    with_config(model_type="gpt2", architectures=["GPT2LMHeadModel"], n_embd=16, n_layer=2, n_head=2)(folder)


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (with_config(hidden_size=32), "of another size"),
        (with_config(num_hidden_layers=3), "weights are missing"),
        (weights_of_gpt2, "weights are missing"),
        (with_config(model_type="no_such_architecture"), "no_such_architecture"),
        (with_config(num_attention_heads=3), "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "config"),
        (lambda folder: (folder / "config.json").write_text("[]"), "cannot be loaded"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be loaded"),
        (cut_weights, "cannot be loaded"),
        (pickled_weights, "safetensors"),
        (without_eos, "end-of-sequence"),
    ],
)
def test_a_folder_that_is_no_model_is_one_line_with_a_remedy(
    good_folder: Path, tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(good_folder, folder)
    change(folder)
    with pytest.raises(MissingModel) as caught:
        Student.load(str(folder))
    message = str(caught.value)
    assert message.startswith(f"{folder}: ")
    assert said in message
    assert "\n" not in message
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["nothing-here", "./nothing/here", "/nothing/here/at/all", "~/nothing-here"])
def test_a_missing_folder_names_what_could_be_given_instead(name: str) -> None:
    with pytest.raises(MissingModel, match=r"no config\.json.*save_pretrained.*'bundled'"):
        Student.load(name)


def test_a_hub_id_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(name: str, **options: object) -> None:
        asked.append(name)
        raise OSError("We couldn't connect.\nCheck your connection.")

    monkeypatch.setattr("redink.models.student.load_tokenizer", refuse)
    with pytest.raises(MissingModel, match=r"^org/model: the model cannot be loaded \(We couldn't connect\.\)\. "):
        Student.load("org/model")
    assert asked == ["org/model"]


def test_smollm2_that_was_not_fetched_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDINK_CACHE", str(tmp_path))
    with pytest.raises(MissingModel, match="redink fetch smollm2"):
        Student.load("smollm2")


def test_a_tokenizer_without_padding_pads_with_end_of_sequence(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "model")
    made = tokenizer()
    made.pad_token = None
    made.save_pretrained(folder)
    student = Student.load(str(folder))
    assert student.tokenizer.pad_token_id == student.eos_id
    requests = [Request(question) for question in QUESTIONS]
    expected = [[alone(student, request, 6)] for request in requests]
    assert texts(student.generate(requests, Sampling(max_new_tokens=6, stop=()))) == expected


def test_a_loaded_student_pads_on_the_left_and_is_not_training(student: Student) -> None:
    assert student.tokenizer.padding_side == "left"
    assert not student.model.training

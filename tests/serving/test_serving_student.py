"""The server on real students: its text is the student's own, alone or among others."""

from __future__ import annotations

import threading

import pytest
from served import asked, body, call, content, events, running
from tiny import tiny_student

from redink.models.student import Request, Sampling, Student
from redink.serving.setting_up import service_for
from redink.solving.local import TransformersBackend
from redink.solving.presets import redink_preset
from redink.solving.solver import Solver

pytestmark = pytest.mark.slow
QUESTIONS = [f"Tom has {n} apples{' and pears' * (n % 3)}. How many?" for n in range(1, 7)]


@pytest.mark.parametrize("kind", ["tiny", "bundled"])
def test_greedy_text_is_the_students_own_whoever_asks_at_the_same_time(kind, tmp_path) -> None:
    student = tiny_student(tmp_path) if kind == "tiny" else Student.load("bundled")
    preset = redink_preset(chat=bool(student.tokenizer.chat_template))
    prompts = [preset.solve.render(question=question) for question in QUESTIONS]
    sampling = Sampling(max_new_tokens=40, stop=preset.stop)
    expected = [student.generate([Request(prompt)], sampling)[0][0].text for prompt in prompts]
    solver = Solver(TransformersBackend(student), preset, rounds=0)
    got: dict[int, str] = {}

    def ask(place: int) -> None:
        if place % 2:
            got[place] = content(asked(now.address, body(QUESTIONS[place], max_tokens=40)))
        else:
            text = call(now.address, sent=body(QUESTIONS[place], max_tokens=40, stream=True))[2]
            got[place] = "".join(row["choices"][0]["delta"].get("content", "") for row in events(text)[:-1])

    with running(service_for(solver)) as now:
        threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(QUESTIONS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        together = dict(got)
        ask(0)
        assert now.service.books.batches.counts != [7, *[0] * 8]  # some shared a batch
    assert [together[place] for place in range(len(QUESTIONS))] == expected
    assert got[0] == expected[0]

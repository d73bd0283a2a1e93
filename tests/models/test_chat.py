from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redink.failures import Failure
from redink.models.chat import ChatRequest, ChatSettings, Message, Reply, Usage, ask, split_reasoning
from redink.models.scripted import ScriptedChat


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is 4.", ("", "It is 4.")),
        ("", ("", "")),
        (" kept as it came\n", ("", " kept as it came\n")),
        ("<think>\n2+2\n</think>\n\nIt is 4.", ("2+2", "It is 4.")),
        ("2+2\n</think>\nIt is 4.", ("2+2", "It is 4.")),
        ("<think>2+2 and then", ("2+2 and then", "")),
        ("<think></think>It is 4.", ("", "It is 4.")),
        ("<think>a</think>It <think>b</think>is 4.", ("a\n\nb", "It is 4.")),
        ("It is <think>cut", ("cut", "It is")),
    ],
)
def test_split_reasoning(text: str, expected: tuple[str, str]) -> None:
    assert split_reasoning(text) == expected


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "\n", "<Step1>"])).map("".join))
def test_no_opened_block_is_left_in_the_text(text: str) -> None:
    _, rest = split_reasoning(text)
    assert "<think>" not in rest or "<think>" not in text


def test_split_reasoning_is_linear() -> None:
    assert split_reasoning("<think>" * 100_000)[1] == ""


def test_ask_makes_one_user_message() -> None:
    request = ask("1+1?", ChatSettings(temperature=0.7, seed=3, stop=("</Answer>",)))
    assert request == ChatRequest(
        messages=(Message(role="user", content="1+1?"),), temperature=0.7, seed=3, stop=("</Answer>",)
    )
    assert ask("q").temperature == 0.0


def test_requests_and_replies_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        ask("q").temperature = 1.0  # type: ignore[misc]
    assert Reply(text="4").usage == Usage(prompt_tokens=0, completion_tokens=0)


def test_scripted_replies_come_in_order_and_requests_are_kept() -> None:
    model = ScriptedChat(["one", "<think>hm</think>two"])

    async def both() -> list[Reply]:
        return [await model.complete(ask("a")), await model.complete(ask("b"))]

    assert asyncio.run(both()) == [Reply(text="one"), Reply(text="two", reasoning="hm")]
    assert [request.messages[0].content for request in model.requests] == ["a", "b"]


def test_scripted_function_sees_the_request() -> None:
    model = ScriptedChat(lambda request: request.messages[-1].content.upper())
    assert asyncio.run(model.complete(ask("abc"))).text == "ABC"


def test_one_string_is_one_reply() -> None:
    assert asyncio.run(ScriptedChat("whole").complete(ask("q"))).text == "whole"


def test_scripted_model_says_that_it_has_run_out() -> None:
    model = ScriptedChat(["one"], name="teacher")
    asyncio.run(model.complete(ask("a")))
    with pytest.raises(Failure, match="'teacher' has 1 scripted replies and was asked 2 times"):
        asyncio.run(model.complete(ask("b")))

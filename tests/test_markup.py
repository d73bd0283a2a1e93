"""markup: canonical rendering, round trips, the tolerance list, named failures, linear time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from redink.failures import MarkupFailure
from redink.markup import (
    MAX_STEPS,
    MAX_TAGS,
    find_answer,
    parse_steps,
    parse_thought,
    parse_trace,
    render_step,
    render_steps,
    render_thought,
    render_trace,
)
from redink.types import CorrectionTrace, LocatedError, Step, Thought

DATA = Path(__file__).parents[1].parent / "shared" / "data"


def steps(*contents: str | tuple[str, str | None]) -> tuple[Step, ...]:
    """Steps 1..n from texts or (text, key) pairs."""
    pairs = [(content, None) if isinstance(content, str) else content for content in contents]
    return tuple(Step(number=number, text=text, key=key) for number, (text, key) in enumerate(pairs, start=1))


# --- the canonical form ---------------------------------------------------------------------------------------------

THOUGHT = Thought(
    steps=steps(("47 + 38", "47 + 30 = 77, 77 + 8 = 85"), "text with no key"),
    generalized="Add the tens, then the ones.",
    answer="85",
)
THOUGHT_TEXT = (
    "<Step1>47 + 38<Key>47 + 30 = 77, 77 + 8 = 85</Key></Step1>\n"
    "<Step2>text with no key</Step2>\n"
    "<Generalized>Add the tens, then the ones.</Generalized>\n"
    "<Answer>85</Answer>"
)
ERROR = LocatedError(step=2, cause="7 + 8 is not 16", correction="77 + 8 = 85")
TRACE = CorrectionTrace(steps=steps("47 + 30 = 77", ("77 + 8 = 86", "7 + 8 = 16")), error=ERROR, answer="85")
TRACE_TEXT = (
    "<Step1>47 + 30 = 77</Step1>\n"
    "<Step2>77 + 8 = 86<Key>7 + 8 = 16</Key>"
    "<Cause>7 + 8 is not 16</Cause><Correction>77 + 8 = 85</Correction></Step2>\n"
    "<Answer>85</Answer>"
)


def test_canonical_thought() -> None:
    assert render_thought(THOUGHT) == THOUGHT_TEXT
    assert parse_thought(THOUGHT_TEXT) == THOUGHT


def test_canonical_trace() -> None:
    assert render_trace(TRACE) == TRACE_TEXT
    assert parse_trace(TRACE_TEXT) == TRACE


def test_trace_without_error_has_no_marks() -> None:
    trace = CorrectionTrace(steps=steps("2 + 2 = 4"), error=None, answer="4")
    assert render_trace(trace) == "<Step1>2 + 2 = 4</Step1>\n<Answer>4</Answer>"
    assert parse_trace(render_trace(trace)) == trace


def test_steps_are_a_prefix_of_the_whole() -> None:
    whole = render_trace(TRACE)
    assert render_steps(TRACE.steps[:0]) == ""
    before = render_steps(TRACE.steps[:1])
    assert before == "<Step1>47 + 30 = 77</Step1>\n"
    assert whole == before + render_step(TRACE.steps[1], ERROR) + "\n<Answer>85</Answer>"


def test_later_steps_render_on_their_own() -> None:
    assert render_steps([Step(number=2, text="b"), Step(number=3, text="c")]) == (
        "<Step2>b</Step2>\n<Step3>c</Step3>\n"
    )


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        (r"a < b, x<y and p & q", r"a < b, x<y and p & q"),
        (r"\begin{array}{c} 1 & 2 \\ 3 & 4 \end{array}", r"\begin{array}{c} 1 & 2 \\ 3 & 4 \end{array}"),
        ("<<48/2=24>>", "<<48/2=24>>"),
        ("see <Step2> and </key>", "see &lt;Step2> and &lt;/key>"),
        ("x &lt; y &amp; z &gt; 0", "x &amp;lt; y &amp;amp; z &amp;gt; 0"),
        ("&nbsp; &ltx", "&nbsp; &ltx"),
        ("<stepping> <keyboard> <Step1.1>", "<stepping> <keyboard> <Step1.1>"),
        ("<Key <Key>", "&lt;Key &lt;Key>"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_only_what_is_ambiguous_is_escaped(text: str, rendered: str) -> None:
    step = Step(number=1, text=text)
    assert render_step(step) == f"<Step1>{rendered}</Step1>"
    assert parse_steps(render_step(step)) == (step,)


REFUSED_THOUGHTS = [
    ((Step(number=2, text="a"),), None, "1", "steps: number 2 stands where 1 belongs"),
    ((Step(number=1, text="a"), Step(number=3, text="b")), None, "1", "steps: number 3 stands where 2 belongs"),
    (steps(" a"), None, "1", "step 1: text has space"),
    (steps(""), None, "1", "step 1: text is empty"),
    (steps(("a", "")), None, "1", "step 1: key is empty"),
    (steps(("a", "k\n")), None, "1", "step 1: key has space"),
    (steps("a\ud800"), None, "1", "step 1: text holds a lone surrogate"),
    (steps("a"), "", "1", "generalized is empty"),
    (steps("a"), " g", "1", "generalized has space"),
    (steps("a"), None, "1 ", "answer has space"),
    (steps(*["a"] * (MAX_STEPS + 1)), None, "1", f"step {MAX_STEPS + 1}: number is over"),
]


@pytest.mark.parametrize(("rows", "generalized", "answer", "message"), REFUSED_THOUGHTS)
def test_rendering_refuses_what_is_not_canonical(
    rows: tuple[Step, ...], generalized: str | None, answer: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        render_thought(Thought(steps=rows, generalized=generalized, answer=answer))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LocatedError(step=3, cause="c", correction="d"), "error.step is 3, but the steps are 1 to 2"),
        (LocatedError(step=2, cause=" c", correction="d"), "error.cause has space"),
        (LocatedError(step=1, cause="c", correction="d "), "error.correction has space"),
        (LocatedError.model_construct(step=1, cause="", correction="d"), "error.cause is empty"),
        (LocatedError.model_construct(step=1, cause="c", correction=""), "error.correction is empty"),
    ],
)
def test_rendering_refuses_a_bad_error(error: LocatedError, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render_trace(CorrectionTrace(steps=steps("a", "b"), error=error, answer="1"))


def test_rendering_refuses_steps_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="number 4 stands where 3 belongs"):
        render_steps([Step(number=2, text="b"), Step(number=4, text="d")])
    with pytest.raises(ValueError, match="number 2 stands where 1 belongs"):
        render_trace(CorrectionTrace(steps=(Step(number=2, text="b"),), answer="1"))
    with pytest.raises(ValueError, match=r"error\.step is 2, but the step is 1"):
        render_step(Step(number=1, text="a"), LocatedError(step=2, cause="c", correction="d"))


# --- round trips ----------------------------------------------------------------------------------------------------

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
FRAGMENTS = ["<", ">", "&", ";", "/", "<Step2>", "</Step2>", "<Step", "<step_1", "</Key>", "<KEY ", "</ Cause>"]
FRAGMENTS += ["&lt;", "&amp;", "&amp;lt;", "&gt", "lt;", "amp;", "\\boxed{}", "\\boxed{5}", "{", "}", "```", "\n\n"]
FRAGMENTS += ["Answer: 7", "<Correction", "<Generalised", "<final answer>", "<Step1.1>", "\\\\", "Step", "1", ":", "k"]
FRAGMENTS += [" ", "=1", "é", "<Answer/>"]
TEXT = st.one_of(st.text(max_size=30), st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join)).map(str.strip)
FILLED = TEXT.filter(bool)


@st.composite
def step_tuples(draw: st.DrawFn) -> tuple[Step, ...]:
    pairs = draw(st.lists(st.tuples(TEXT, st.none() | FILLED), min_size=1, max_size=5))
    return steps(*[(text or "a" if key is None else text, key) for text, key in pairs])


THOUGHTS = st.builds(Thought, steps=step_tuples(), generalized=st.none() | FILLED, answer=FILLED)


@st.composite
def traces(draw: st.DrawFn) -> CorrectionTrace:
    rows = draw(step_tuples())
    located = st.builds(LocatedError, step=st.integers(1, len(rows)), cause=FILLED, correction=FILLED)
    return CorrectionTrace(steps=rows, error=draw(st.none() | located), answer=draw(FILLED))


@UNHURRIED
@given(THOUGHTS)
def test_round_trip_of_thoughts(thought: Thought) -> None:
    text = render_thought(thought)
    assert parse_thought(text) == thought
    assert parse_thought(f"Sure!\n```xml\n{text}\n```\nHope it helps.") == thought
    assert parse_steps(text) == thought.steps
    assert find_answer(text) == thought.answer


@UNHURRIED
@given(traces())
def test_round_trip_of_traces(trace: CorrectionTrace) -> None:
    text = render_trace(trace)
    assert parse_trace(text) == trace
    assert parse_steps(text) == trace.steps
    k = trace.error.step if trace.error else 1
    assert text.startswith(render_steps(trace.steps[: k - 1]) + render_step(trace.steps[k - 1], trace.error) + "\n")


TAGS = ["<Step1>", "<Step 2:>", "<step_3>", "</Step1>", "</step 2>", "<Step>", "<Step0>", "<Step1: sum>", "<Step1/>"]
TAGS += ["<Key>", "</key>", "<Cause>", "</Cause>", "<Correction>", "</Correction>", "<Generalized>", "</Generalised>"]
TAGS += ["<Answer>", "</Answer>", "\\boxed{4}", "\nThe answer is 5.\n", "```", "x", " y ", "\ud800", "&lt;", "\n"]


@UNHURRIED
@given(st.one_of(st.text(), st.lists(st.sampled_from(TAGS), max_size=14).map("".join)))
def test_any_text_is_read_or_fails_by_name(text: str) -> None:
    assert all(step.text or step.key for step in parse_steps(text))
    assert find_answer(text) != ""
    for parse, render in ((parse_thought, render_thought), (parse_trace, render_trace)):
        try:
            row = parse(text)
        except MarkupFailure as failure:
            assert failure.reason
            assert 0 <= failure.position <= len(text)
            assert failure.raw == text.replace("\ud800", "?")
        else:
            assert parse(render(row)) == row


# --- the tolerance list ---------------------------------------------------------------------------------------------

TOLERATED = {
    "space before the number": ("<Step 1>a</Step 1><Step 2>b</Step 2><Answer>5</Answer>", steps("a", "b")),
    "colon in the tag": ("<Step 1:>a</Step 1><Step 2:>b</Step 2><Answer>5</Answer>", steps("a", "b")),
    "title in the tag": ("<Step 1: Add>2 + 3</Step 1><Answer>5</Answer>", steps("Add 2 + 3")),
    "underscore": ("<step_1>a</step_1><step_2>b</step_2><answer>5</answer>", steps("a", "b")),
    "upper case": ("<STEP1>a<KEY>k</KEY></STEP1><ANSWER>5</ANSWER>", steps(("a", "k"))),
    "attributes": (
        '<Step1 name="add">a<Key type="hint">k</Key></Step1><Answer unit="kg">5</Answer>',
        steps(("a", "k")),
    ),
    "number as attribute": (
        '<Step number="1">a</Step><Step id=2>b</Step><Answer>5</Answer>',
        steps("a", "b"),
    ),
    "no number": ("<Step>a</Step><Step>b</Step><Answer>5</Answer>", steps("a", "b")),
    "key left open at the end of the step": ("<Step1>a<Key>k</Step1><Answer>5</Answer>", steps(("a", "k"))),
    "key left open at the next step": ("<Step1>a<Key>k<Step2>b</Step2><Answer>5</Answer>", steps(("a", "k"), "b")),
    "key alone": ("<Step1><Key>2 + 3 = 5</Key></Step1><Answer>5</Answer>", steps(("", "2 + 3 = 5"))),
    "text after the key, two keys": (
        "<Step1>a\n<Key>k</Key>\nb <Key>l</Key></Step1><Answer>5</Answer>",
        steps(("a b", "k l")),
    ),
    "key after its step": ("<Step1>a</Step1> <Key>k</Key> ok <Answer>5</Answer>", steps(("a", "k"))),
    "steps left open": ("<Step1>a\n<Step2>b\n<Answer>5</Answer>", steps("a", "b")),
    "last step left open at Generalized": (
        "<Step1>a<Generalized></Generalized><Answer>5</Answer>",
        steps("a"),
    ),
    "answer left open": ("<Step1>a</Step1>\n<Answer>5", steps("a")),
    "answer left open, then chatter": ("<Step1>a</Step1>\n<Answer>5\n \nI hope this helps!", steps("a")),
    "answer left open in a fence": ("```xml\n<Step1>a</Step1>\n<Answer>5\n```", steps("a")),
    "answer left open inside the step": ("<Step1>a <Answer>5</Step1> done", steps("a")),
    "answer inside the last step": ("<Step1>a</Step1><Step2>b<Answer>5</Answer></Step2>", steps("a", "b")),
    "last step left open in a fence": ("```\n<Step1>a \\boxed{5}\n```", steps("a \\boxed{5}")),
    "answer first": ("<Answer>5</Answer><Step1>a</Step1>", steps("a")),
    "final answer": ("<Step1>a</Step1><Final Answer>5</Final Answer>", steps("a")),
    "text around": (
        "Sure, here it is:\n\n<Step1>a</Step1>\nnow\n<Step2>b</Step2> <Answer>5</Answer> Bye",
        steps("a", "b"),
    ),
    "code fence": ("```xml\n<Step1>a</Step1>\n<Answer>5</Answer>\n```", steps("a")),
    "wrapped": ("<Solution>\n<Steps><Step1>a</Step1></Steps>\n<Answer>5</Answer></Solution>", steps("a")),
    "code block in a step": (
        "<Step1>run\n```\nprint(5)\n```</Step1><Answer>5</Answer>",
        steps("run\n```\nprint(5)\n```"),
    ),
    "latex": (
        "<Step1>if $a < b$, x<y & $1&lt;2$<Key>\\begin{array}{c} 1 & 2 \\\\ 3 &amp; 4 \\end{array}</Key></Step1>"
        "<Answer>5</Answer>",
        steps(("if $a < b$, x<y & $1<2$", "\\begin{array}{c} 1 & 2 \\\\ 3 & 4 \\end{array}")),
    ),
    "words between comparison signs": (
        "<Step1>x < answer and answer > 2</Step1><Answer>5</Answer>",
        steps("x < answer and answer > 2"),
    ),
    "several lines": ("<Step1>\nfirst\n\nsecond\n</Step1><Answer>5</Answer>", steps("first\n\nsecond")),
    "sub-steps are text": (
        "<Step1>a <Step1.1>b</Step1.1></Step1><Answer>5</Answer>",
        steps("a <Step1.1>b</Step1.1>"),
    ),
    "nested steps are flattened": (
        "<Step1>a <Step2>b</Step2> left out</Step1><Step3>c</Step3><Answer>5</Answer>",
        steps("a", "b", "c"),
    ),
    "self-closing tags are ignored": ("<Step1>a<Key/>b</Step1><Step2/><Answer>5</Answer>", steps("a b")),
    "stray closing tags": ("<Step1>a</Cause></Key>b</Generalized></Step1></Step1><Answer>5</Answer>", steps("a b")),
    "identical repetition": (
        "<Step1>a</Step1><Step1>a </Step1><Step2>b</Step2><Step2>b</Step2><Answer>5</Answer>",
        steps("a", "b"),
    ),
    "identical repetition later": (
        "<Step1>a</Step1><Step2>b</Step2><Step3>c</Step3><Step2>b</Step2><Answer>5</Answer>",
        steps("a", "b", "c"),
    ),
    "counted from 0": ("<Step0>a</Step0><Step1>b</Step1><Step2>c</Step2><Answer>5</Answer>", steps("a", "b", "c")),
    "second copy after an answer": (
        "<Step1>x</Step1><Answer>4</Answer> Wait, no. <Step1>a</Step1><Answer>5</Answer>",
        steps("a"),
    ),
    "second copy after a false start": (
        "<Step1>x</Step1><Step2>y</Step2> Again: <Step1>a</Step1><Step2>b</Step2><Answer>5</Answer>",
        steps("a", "b"),
    ),
    "second copy cut short": (
        "<Step1>a</Step1><Step2>b</Step2><Answer>5</Answer> Checking: <Step1>x</Step1><Step2>y",
        steps("a", "b"),
    ),
    "the format repeated first": (
        "I will write <Step1>...</Step1> and <Answer>...</Answer>.\n<Step1>a</Step1><Answer>5</Answer>",
        steps("a"),
    ),
    "no copy has an answer": (
        "<Step1>x</Step1><Step2>\\boxed{4}</Step2><Step1>a</Step1><Step2>\\boxed{5}</Step2>",
        steps("a", "\\boxed{5}"),
    ),
    "two answers": ("<Step1>a</Step1><Answer>4</Answer><Answer>5</Answer>", steps("a")),
}


@pytest.mark.parametrize(("text", "expected"), TOLERATED.values(), ids=TOLERATED)
def test_tolerated_thoughts(text: str, expected: tuple[Step, ...]) -> None:
    assert parse_thought(text) == Thought(steps=expected, generalized=None, answer="5")
    assert parse_trace(text) == CorrectionTrace(steps=expected, error=None, answer="5")
    assert parse_steps(text) == expected


@pytest.mark.parametrize("tag", ["Generalized", "Generalised", "generalization", "GENERALISATION", "Generalized:"])
def test_spellings_of_generalized(tag: str) -> None:
    closing = tag.rstrip(":")
    text = f"<Step1>a</Step1><{tag}>split, then add</{closing}><Answer>5</Answer>"
    assert parse_thought(text).generalized == "split, then add"
    assert parse_thought(text.replace(f"</{closing}>", "")).generalized == "split, then add"


ANSWERS = {
    "box": ("<Step1>so \\boxed{85}</Step1>", "85"),
    "last box": ("<Step1>\\boxed{1}</Step1><Step2>\\boxed{\\frac{1}{2}}</Step2> done", "\\frac{1}{2}"),
    "last complete box": ("<Step1>\\boxed{85} and \\boxed{8</Step1>", "85"),
    "box with a space, escaped braces": ("<Step1>\\boxed {\\{1, 2\\}}</Step1>", "\\{1, 2\\}"),
    "unbalanced escaped brace": ("<Step1>\\boxed{\\left\\{ x \\right.}</Step1>", "\\left\\{ x \\right."),
    "row breaks before a brace": ("<Step1>\\boxed{1 \\\\{2}}</Step1>", "1 \\\\{2}"),
    "box beats line": ("<Step1>\\boxed{85}</Step1>\nAnswer: 86", "85"),
    "box with an entity": ("<Step1>\\boxed{x &lt; 5}</Step1>", "x < 5"),
    "box around an empty answer tag": ("<Step1>\\boxed{85}</Step1><Answer> </Answer>", "85"),
    "line": ("<Step1>a</Step1>\nAnswer: 85", "85"),
    "sentence": ("<Step1>a</Step1>\nTherefore, the final answer is $85$.", "$85$"),
    "bold": ("<Step1>a</Step1>\n**Answer:** **85**", "85"),
    "last line": ("<Step1>a</Step1>\nAnswer: 84\nanswer = 85", "85"),
    "in Generalized": ("<Step1>a</Step1><Generalized>Add.\nThe answer is 85.</Generalized>", "85"),
    "directly in Generalized": ("<Step1>a</Step1><Generalized>The answer is 85</Generalized>", "85"),
    "decimal": ("<Step1>a</Step1>\nThe answer is .5", ".5"),
    "last step left open": ("<Step1>a\n<Step2>b\nThe answer is 85.", "85"),
}


@pytest.mark.parametrize(("text", "expected"), ANSWERS.values(), ids=ANSWERS)
def test_answer_without_its_tag(text: str, expected: str) -> None:
    assert parse_thought(text).answer == expected
    assert find_answer(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 85\n<Step1>a</Step1>",
        "<Step1>a\nAnswer: 85</Step1>",
        "<Step1>The answer is 40 +",
        "<Step1>a</Step1>\nThis answer is easy to see",
        "<Step1>\\boxed{}</Step1>",
        "<Step1>a</Step1>\\boxed{85",
        "<Step1>a</Step1><Answer></Answer>",
        "<Step1>a</Step1><Answer>\n```\n",
    ],
)
def test_no_answer_is_made_up(text: str) -> None:
    with pytest.raises(MarkupFailure) as caught:
        parse_thought(text)
    assert (caught.value.reason, caught.value.position) == ("missing_answer", len(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<Answer>85</Answer>", "85"),
        ("<answer> 84 </answer> no: <Answer>85", "85"),
        ("<Answer>\\boxed{85}</Answer>", "\\boxed{85}"),
        ("<Answer>x &lt; 5</Answer>", "x < 5"),
        ("<Answer>\\begin{pmatrix}\n1\n\\end{pmatrix}", "\\begin{pmatrix}\n1\n\\end{pmatrix}"),
        ("<Answer>84</Answer><Answer></Answer>", None),
        ("85</Answer>", None),
        ("", None),
        ("<Answer>\ud800</Answer>", "?"),
        ("<Answer>5</Answer>" * MAX_TAGS, None),
    ],
)
def test_find_answer(text: str, expected: str | None) -> None:
    assert find_answer(text) == expected


def error(step: int, cause: str = "c", correction: str = "d") -> LocatedError:
    return LocatedError(step=step, cause=cause, correction=correction)


MARKED = {
    "marks before the key": (
        "<Step1>a<Cause>c</Cause><Correction>d</Correction><Key>k</Key></Step1><Answer>5</Answer>",
        steps(("a", "k")),
        error(1),
    ),
    "marks left open": ("<Step1>a<Cause>c<Correction>d<Step2>b<Answer>5", steps("a", "b"), error(1)),
    "marks after their step": (
        "<Step1>a</Step1>\n<Cause>c</Cause>\n<Correction>d</Correction> so\n<Step2>b</Step2><Answer>5</Answer>",
        steps("a", "b"),
        error(1),
    ),
    "key inside the correction": (
        "<Step1>a<Cause>c</Cause><Correction>d <Key>1 + 1</Key> e</Correction></Step1><Answer>5</Answer>",
        steps("a"),
        error(1, correction="d 1 + 1 e"),
    ),
    "a second marked step": (
        "<Step1>a</Step1><Step2>b<Cause>c</Cause><Correction>d</Correction></Step2>"
        "<Step3>e<Cause>f</Cause>g<Correction>h</Correction></Step3><Answer>5</Answer>",
        steps("a", "b", "e f g h"),
        error(2),
    ),
    "empty marks are none": (
        "<Step1>a<Cause></Cause><Correction> </Correction></Step1><Answer>5</Answer>",
        steps("a"),
        None,
    ),
    "the format announced first": (
        "I mark the step with <Cause>...</Cause>.\n"
        "<Step1>a<Cause>c</Cause><Correction>d</Correction></Step1><Answer>5</Answer>",
        steps("a"),
        error(1),
    ),
    "counted from 0": (
        "<Step0>a</Step0><Step1>b<Cause>c</Cause><Correction>d</Correction></Step1><Answer>5</Answer>",
        steps("a", "b"),
        error(2),
    ),
    "Generalized is left out": (
        "<Step1>a<Cause>c</Cause><Correction>d</Correction></Step1><Generalized>g</Generalized><Answer>5</Answer>",
        steps("a"),
        error(1),
    ),
}


@pytest.mark.parametrize(("text", "expected", "located"), MARKED.values(), ids=MARKED)
def test_tolerated_traces(text: str, expected: tuple[Step, ...], located: LocatedError | None) -> None:
    assert parse_trace(text) == CorrectionTrace(steps=expected, error=located, answer="5")
    assert parse_steps(text) == expected


def test_a_teachers_reply() -> None:
    text = (
        "Here is my review of the student's solution:\n\n```xml\n"
        "<Step 1: Count the eggs>\nJanet's ducks lay 16 eggs; she eats 3 and bakes with 4, so 16 - 3 - 4 = 9 are left.\n"
        "<Key>16 - 3 = 13\n13 - 4 = 9\n</Step 1>\n\n"
        "<step 2>\nShe sells them for $2 each: 9 + 2 = 11.\n"
        "<Cause>A price per egg is multiplied, not added; 9 eggs > 0.</Cause>\n"
        "<Correction>She earns 9 * 2 = 18 dollars.\n</step 2>\n"
        "<Answer>\n$18\n</Answer>\n```\nLet me know if you need more."
    )
    assert parse_trace(text) == CorrectionTrace(
        steps=steps(
            (
                "Count the eggs Janet's ducks lay 16 eggs; she eats 3 and bakes with 4, so 16 - 3 - 4 = 9 are left.",
                "16 - 3 = 13\n13 - 4 = 9",
            ),
            "She sells them for $2 each: 9 + 2 = 11.",
        ),
        error=error(2, "A price per egg is multiplied, not added; 9 eggs > 0.", "She earns 9 * 2 = 18 dollars."),
        answer="$18",
    )


# --- named failures -------------------------------------------------------------------------------------------------

END = "<Answer>5</Answer>"
FAILURES = [
    ("", "no_steps", 0),
    ("I cannot solve this.", "no_steps", 0),
    ("Step 1: 2 + 3 = 5\nAnswer: 5", "no_steps", 0),
    ("<Answer>5</Answer>", "no_steps", 0),
    ("<Step1234567>a</Step1234567>" + END, "no_steps", 0),
    ("ab\ud800<Step1>a</Step1>" + END, "bad_character", 2),
    ("<Key>" * (MAX_TAGS + 1), "too_many_tags", 0),
    ("<Step1>a" * (MAX_STEPS + 1), "too_many_steps", 8 * MAX_STEPS),
    ("<Step2>a</Step2>" + END, "step_gap", 0),
    ("<Step1>a</Step1><Step3>b</Step3>" + END, "step_gap", 16),
    ("<Step1>a</Step1><Step3>b</Step3><Step2>c</Step2>" + END, "step_gap", 16),
    ("<Step1>a</Step1><Step2/><Step3>b</Step3>" + END, "step_gap", 24),
    ("<Step1>a</Step1><Step1>b</Step1>" + END, "repeated_step", 16),
    ("<Step1>a</Step1><Step2>b</Step2><Step2>b<Key>k</Key></Step2>" + END, "repeated_step", 32),
    ("<Step1>a<Step1>b</Step1></Step1>" + END, "repeated_step", 8),
    ("<Step1> </Step1>" + END, "empty_step", 0),
    ("<Step1>a</Step1><Step2><Key></Key></Step2>" + END, "empty_step", 16),
    ("<Step1>a</Step1>", "missing_answer", 16),
]


@pytest.mark.parametrize(("text", "reason", "position"), FAILURES)
@pytest.mark.parametrize("parse", [parse_thought, parse_trace])
def test_failures_name_reason_and_position(
    parse: Callable[[str], object], text: str, reason: str, position: int
) -> None:
    with pytest.raises(MarkupFailure) as caught:
        parse(text)
    assert (caught.value.reason, caught.value.position) == (reason, position)
    assert caught.value.raw == text.replace("\ud800", "?")
    assert caught.value.detail.startswith(f"at character {position}: ")


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("<Step1>a</Step1><Step2>b<Cause>c</Cause></Step2>" + END, "missing_correction", 16),
        ("<Step1>a<Correction>d</Correction></Step1>" + END, "missing_cause", 0),
        ("<Step1>a<Cause> </Cause><Correction>d</Correction></Step1>" + END, "missing_cause", 0),
        ("<Cause>c</Cause><Correction>d</Correction><Step1>a</Step1>" + END, "stray_mark", 0),
        ("<Step1>a</Step1>" + END + "<Cause>c</Cause><Correction>d</Correction>", "stray_mark", 34),
        ("<Step1>a</Step1><Generalized>g<Cause>c</Cause></Generalized>" + END, "stray_mark", 30),
        ("<Step1><Cause>c</Cause><Correction>d</Correction></Step1>" + END, "empty_step", 0),
    ],
)
def test_failures_of_traces(text: str, reason: str, position: int) -> None:
    with pytest.raises(MarkupFailure) as caught:
        parse_trace(text)
    assert (caught.value.reason, caught.value.position) == (reason, position)


def test_a_thought_has_no_marks() -> None:
    with pytest.raises(MarkupFailure) as caught:
        parse_thought("<Step1>a</Step1><Step2>b<Cause>c</Cause><Correction>d</Correction></Step2>" + END)
    assert (caught.value.reason, caught.value.position) == ("marked_thought", 16)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("no tags at all", ()),
        ("<Step1>a</Step1><Step2>b", steps("a", "b")),
        ("<Step1>a</Step1><Step3>b</Step3>", steps("a", "b")),
        ("<Step2>a</Step2><Step2>b</Step2><Step2>a</Step2>", steps("a", "b")),
        ("<Step1></Step1><Step2>b</Step2>", steps("b")),
        ("<Step1>a<Cause>c</Cause></Step1>", steps("a")),
        ("<Step1>\ud800</Step1>", steps("?")),
        ("<Step1>a" * (MAX_TAGS + 1), ()),
    ],
)
def test_steps_of_a_students_reply(text: str, expected: tuple[Step, ...]) -> None:
    assert parse_steps(text) == expected


def test_at_most_so_many_steps_of_a_students_reply() -> None:
    read = parse_steps("".join(f"<Step{number}>a" for number in range(1, MAX_STEPS + 9)))
    assert [step.number for step in read] == list(range(1, MAX_STEPS + 1))


# --- linear time ----------------------------------------------------------------------------------------------------

MEGABYTE = 1_000_000
UNITS = ["<", "</", "<s", "<Step", "<Step 1", "<Step1 ", "<Step1>", "</Step1>", "<Key>", "<Answer>", "<sxx>", "\n", " "]
UNITS += ["\n ", "&lt;", "&amp;", "&", "{", "}", "{}", "\\boxed{", "\\boxed{}", "\\boxed{{}", "\\", "\\{", "```", "𝔸"]
UNITS += ["Answer:\n", "Answer: ", "<Step1>a<Step2>b", "<Step1>a</Step1><Answer>5</Answer>", "<Step 1 a='", "1", "* "]
HEADS = {"alone": "", "after a step": "<Step1>a</Step1>\n", "in an answer": "<Step1>a<Answer>5"}


def seconds(text: str, *readers: Callable[[str], object]) -> float:
    """Processor time of reading a text."""
    start = time.process_time()
    for reader in readers:
        with suppress(MarkupFailure):
            reader(text)
    return time.process_time() - start


@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear_in_the_length(unit: str) -> None:
    text = ("<Step1>\\boxed{" + unit * MEGABYTE)[:MEGABYTE]
    readers = parse_thought, parse_trace, parse_steps, find_answer
    whole, quarter = seconds(text, *readers), seconds(text[: MEGABYTE // 4], *readers)
    assert whole < 1.0 * len(readers)
    assert whole < 12 * quarter + 0.1


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_a_megabyte_is_read_in_time_wherever_it_stands(head: str) -> None:
    assert all(seconds((head + unit * MEGABYTE)[:MEGABYTE], parse_trace) < 1.0 for unit in UNITS)


def test_a_megabyte_of_markup_is_read_in_time() -> None:
    step = "<Step{0}>{1}<Key>k<Cause>c<Correction>d</Step{0}>"
    text = "".join(step.format(number, "<sxx>" * 190) for number in range(1, MAX_STEPS)) + "\\boxed{"
    assert seconds(text, parse_trace) < 1.0
    assert seconds(("<Step1>a" + "x" * 480 + "<Answer>5") * (MAX_TAGS // 2), parse_trace) < 1.0


# --- real solutions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "field"), [("gsm8k_test", "answer"), ("math_test", "solution")])
def test_real_solutions_stand_unescaped_and_come_back(name: str, field: str) -> None:
    path = DATA / f"{name}.jsonl"
    if not path.exists():
        pytest.skip(f"../shared/data/{name}.jsonl is absent")
    for line in path.read_text(encoding="utf-8").splitlines()[:1000]:
        solution = json.loads(line)[field]
        lines = [part.strip() for part in solution.split("\n") if part.strip()]
        thought = Thought(steps=steps(*lines), generalized=None, answer=lines[-1])
        text = render_thought(thought)
        assert all(part in text for part in lines)
        assert parse_thought(text) == thought

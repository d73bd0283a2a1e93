"""How models are asked: by name, by run, by card, by the user's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from redink.failures import BadInput, Failure
from redink.models.chat import Message
from redink.prompts import load_prompt
from redink.solving.presets import preset_for, supercorrect_7b, system_of_card

CARD = """
# A model

```python
tokenizer = load()
how = "Solve it in <Step1></Step1> and <Answer></Answer>."
messages = [
    {"role": "system", "content": how},
    {"role": "user", "content": prompt},
]
```
"""


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (CARD, "Solve it in <Step1></Step1> and <Answer></Answer>."),
        ('```python\nchat([{"role": "system", "content": "Be brief."}])\n```', "Be brief."),
        ('```python\nnot python at all (\n```\n```py\nx = [{"role": "system", "content": "Second."}]\n```', "Second."),
        ('```python\nx = [{"role": "user", "content": "hi"}]\n```', None),
        ('```python\nx = [{"role": "system", "content": f"{secret}"}]\n```', None),
        ('```bash\nx = [{"role": "system", "content": "no"}]\n```', None),
        ("", None),
    ],
)
def test_the_system_message_of_a_card_is_read_and_never_run(card: str, expected: str | None) -> None:
    assert system_of_card(card) == expected


def test_supercorrect_is_asked_as_its_card_says() -> None:
    preset = preset_for("BitStarWalkin/SuperCorrect-7B", chat=True, card=CARD)
    assert preset.asking("2 + 3?") == (
        Message(role="system", content="Solve it in <Step1></Step1> and <Answer></Answer>."),
        Message(role="user", content="2 + 3?"),
    )
    assert preset.wording == "the model card"
    assert preset.max_new_tokens == 1024


def test_supercorrect_without_a_card_is_asked_in_our_words() -> None:
    system, user = supercorrect_7b().asking("2 + 3?")
    assert "<Generalized></Generalized>" in system.content
    assert user.content == "2 + 3?"
    assert supercorrect_7b().wording == "redink"


@pytest.mark.parametrize(("chat", "solve"), [(True, "solve_hierarchical"), (False, "compact/solve_hierarchical")])
def test_other_models_are_asked_in_our_words(chat: bool, solve: str) -> None:
    preset = preset_for("org/model", chat=chat)
    assert preset.solve == load_prompt(solve)
    (message,) = preset.asking("2 + 3?", ["Add.", "Count."])
    assert "Add.\nCount." in message.content


@pytest.mark.parametrize(
    ("method", "model", "solve"),
    [
        ("supercorrect", "hsft", "style_text"),
        ("supercorrect", "cross_dpo", "style_text"),
        ("sft", "sft", "solve_in_steps"),
        ("long-sft", "long_sft", "solve_in_steps"),
        ("orion-supercorrect", "orion", "solve_in_steps"),
        ("orion-supercorrect", "cross_dpo_2", "solve_in_steps"),
    ],
)
def test_a_student_of_a_run_is_asked_as_its_run_asked_it(tmp_path: Path, method: str, model: str, solve: str) -> None:
    (tmp_path / model).mkdir()
    (tmp_path / model / "config.json").write_text("{}")
    recipe = {
        "method": method,
        "prompts": {"solve": "style_text", "chain": "solve_in_steps", "correct": "compact/correct"},
        "review": {"results_only": True},
    }
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    preset = preset_for(str(tmp_path / model), chat=True)
    assert preset.solve == load_prompt(solve)
    assert preset.correct == load_prompt("compact/correct")
    assert preset.results_only


def test_the_users_folder_and_single_prompts_come_last(tmp_path: Path) -> None:
    (tmp_path / "system.md").write_text("You solve.")
    (tmp_path / "solve.md").write_text("Q: {{question}}")
    mine = tmp_path / "mine.md"
    mine.write_text("Check {{question}} {{attempt}}")
    preset = preset_for("org/model", chat=True, prompts=tmp_path, correct=str(mine))
    assert preset.asking("1?") == (Message(role="system", content="You solve."), Message(role="user", content="Q: 1?"))
    assert preset.reviewing("1?", "2")[-1].content == "Check 1? 2"


def test_a_card_of_the_users_serves_too(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    assert preset_for("any", chat=True, prompts=tmp_path / "README.md").asking("1?")[1].content == "1?"


def test_what_holds_no_prompt_is_one_failure(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"system\.md"):
        preset_for("any", chat=True, prompts=tmp_path)
    (tmp_path / "card.md").write_text("nothing")
    with pytest.raises(BadInput, match="no system prompt"):
        preset_for("any", chat=True, prompts=tmp_path / "card.md")
    with pytest.raises(Failure, match="supercorrect-7b"):
        preset_for("any", chat=True, preset="gpt")

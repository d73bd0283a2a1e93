"""Teacher and inspector as a recipe asks for them."""

from __future__ import annotations

from dataclasses import dataclass

from redink.failures import BadRecipe
from redink.models.chat import ChatSettings
from redink.models.openai import OpenAIChat
from redink.prompts import load_prompt
from redink.recipe import PromptsRecipe, Recipe, TeacherRecipe
from redink.teaching.inspection import NoInspector
from redink.teaching.llm import InspectorPrompts, LLMInspector, LLMTeacher, TeacherPrompts
from redink.teaching.protocols import Inspector, Teacher
from redink.teaching.reference import ReferenceInspector, ReferenceTeacher


@dataclass
class Staff:
    """Who teaches and who inspects in one run."""

    teacher: Teacher
    inspector: Inspector
    chats: tuple[OpenAIChat, ...] = ()

    async def leave(self) -> None:
        """Close the connections."""
        for chat in self.chats:
            await chat.aclose()


def hire(recipe: Recipe) -> Staff:
    """The staff of a recipe; raises `BadRecipe` where an `openai` teacher names no model."""
    chats: list[OpenAIChat] = []
    teacher = _teacher(recipe.teacher, recipe.prompts, recipe.seed, chats)
    inspector = _inspector(recipe.inspector, recipe.prompts, chats)
    return Staff(teacher, inspector, tuple(chats))


def _teacher(wanted: TeacherRecipe, prompts: PromptsRecipe, seed: int, chats: list[OpenAIChat]) -> Teacher:
    if wanted.kind == "none":
        raise BadRecipe("teacher.kind: 'none' is for the inspector only.", "Use 'reference' or 'openai'.")
    if wanted.kind == "reference":
        return ReferenceTeacher(error_rate=wanted.error_rate, seed=seed)
    chats.append(_chat(wanted, "teacher"))
    own = TeacherPrompts(
        thought=load_prompt(prompts.extract_thought), correction=load_prompt(prompts.correct_with_solution)
    )
    return LLMTeacher(chats[-1], own, _settings(wanted))


def _inspector(wanted: TeacherRecipe, prompts: PromptsRecipe, chats: list[OpenAIChat]) -> Inspector:
    if wanted.kind == "none":
        return NoInspector()
    if wanted.kind == "reference":
        return ReferenceInspector()
    chats.append(_chat(wanted, "inspector"))
    own = InspectorPrompts(thought=load_prompt(prompts.inspect_thought), trace=load_prompt(prompts.inspect_trace))
    return LLMInspector(chats[-1], own, _settings(wanted))


def _chat(wanted: TeacherRecipe, who: str) -> OpenAIChat:
    if not wanted.model:
        raise BadRecipe(f"{who}.model is empty.", f"Name the model: --set {who}.model=…")
    return OpenAIChat(wanted.model, wanted.base_url, key_name=wanted.key_name)


def _settings(wanted: TeacherRecipe) -> ChatSettings:
    return ChatSettings(temperature=wanted.temperature, max_tokens=wanted.max_tokens)

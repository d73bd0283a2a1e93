"""How many tokens the fixed part of a prompt has: by the student's tokenizer where it lies here, else by letters."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from redink.planning.shapes import folder_of
from redink.prompts import load_prompt

GAP = re.compile(r"\{\{[A-Za-z_]+\}\}")


class Wording:
    """Tokens of prompts and texts for one student."""

    def __init__(self, student: str, chars_per_token: float) -> None:
        """`student` as a recipe names it; nothing is downloaded."""
        self.student, self.chars_per_token = student, chars_per_token

    @cached_property
    def tokenizer(self) -> Any:
        """The student's tokenizer if it lies on this disk, else None."""
        folder = folder_of(self.student)
        if folder is None or not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model")):
            return None
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def count(self, text: str) -> float:
        """Tokens of a text."""
        if self.tokenizer is None:
            return len(text) / self.chars_per_token
        return len(self.tokenizer.encode(text, add_special_tokens=False))

    def tokens_of(self, prompt: str, chat: bool = False) -> float:
        """Tokens of a prompt without what stands in its gaps; for a chat model by its letters."""
        text = GAP.sub("", load_prompt(prompt).text)
        return len(text) / CHAT_CHARS if chat else self.count(text) + self._frame

    @cached_property
    def _frame(self) -> float:
        """Tokens of the chat template around a message, or of the newline after it."""
        if self.tokenizer is None or not self.tokenizer.chat_template:
            return 1
        message = [{"role": "user", "content": ""}]
        return self.count(str(self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)))


CHAT_CHARS = 3.8
"""Letters per token of large vocabularies on prompts like ours."""

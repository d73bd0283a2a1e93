"""Tokenizers as they were saved."""

from __future__ import annotations

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config

AS_SAVED = "TokenizersBackend"
"""What transformers 5 calls a tokenizer that is its tokenizer.json and nothing else."""


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id; one that says it is its tokenizer.json is read as that.

    `AutoTokenizer` gives some model types (Qwen2) a class of their own even then, which splits text otherwise.
    """
    if get_tokenizer_config(name).get("tokenizer_class") == AS_SAVED:
        return PreTrainedTokenizerFast.from_pretrained(name)  # type: ignore[no-any-return]
    return AutoTokenizer.from_pretrained(name)

"""A tokenizer is read back as it was saved, whatever model it stands beside."""

from __future__ import annotations

import pytest
from tiny import tokenizer
from transformers import Gemma3TextConfig, LlamaConfig, Qwen2Config

from redink.models.tokenizers import load_tokenizer

TEXT = "<Step1>53 + 74<Key>4 + 3 = 7</Key></Step1>\n<Answer>127</Answer> zebra €"


@pytest.mark.parametrize("kind", [LlamaConfig, Qwen2Config, Gemma3TextConfig])
def test_a_saved_tokenizer_splits_text_as_before(kind, tmp_path):
    saved = tokenizer()
    saved.save_pretrained(tmp_path)
    kind(vocab_size=len(saved)).save_pretrained(tmp_path)
    read = load_tokenizer(str(tmp_path))
    assert read.encode(TEXT) == saved.encode(TEXT)
    assert len(read) == len(saved)
    assert read.decode(read.encode(TEXT)) == TEXT

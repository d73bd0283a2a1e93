"""Tiny random students for tests: a Llama of a few thousand weights and a tokenizer in the style of the bundled one."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from redink.models.student import Student

PIECES = Regex(r"</?[A-Za-z]+\d*>|\n|\d+|▁?[A-Za-z]+(?:▁(?=\d))?|▁?[^A-Za-z0-9▁\s<](?:▁(?=\d))?|▁?<|▁")
TAGS = ("Key", "Cause", "Correction", "Generalized", "Answer", *(f"Step{n}" for n in range(1, 6)))
WORDS = ("Question", "▁how", "▁many", "▁apples", "Thought", "▁not", "▁+▁", "▁=▁", "▁-▁")
CHAT_TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def tokenizer(chat: bool = False) -> PreTrainedTokenizerFast:
    """Tags, some words and the numbers 0..99 as single tokens; characters and bytes for everything else."""
    chars = [chr(code) for code in range(33, 127) if not chr(code).isdigit()] + ["▁", "\n"]
    pieces = [f"<{slash}{tag}>" for slash in ("", "/") for tag in TAGS] + [*WORDS, *map(str, range(100))]
    vocab = [("<pad>", 0.0), ("</s>", 0.0)] + [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    vocab += [(char, -10.0) for char in chars] + [(piece, -1.0) for piece in pieces]
    inner = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    inner.normalizer = normalizers.Replace(" ", "▁")
    inner.pre_tokenizer = pre_tokenizers.Split(PIECES, "isolated")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", clean_up_tokenization_spaces=False
    )
    if chat:
        made.chat_template = CHAT_TEMPLATE
    return made


def config(hidden: int = 16) -> LlamaConfig:
    """Two layers, two heads, tied embeddings; weights spread widely so that greedy choices are far apart."""
    return LlamaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=1,
        pad_token_id=0,
    )


def tiny_folder(folder: Path, *, seed: int = 0, hidden: int = 16, chat: bool = False) -> Path:
    """Save a random student into `folder`, in safetensors, and return the folder."""
    torch.manual_seed(seed)
    LlamaForCausalLM(config(hidden)).save_pretrained(folder)
    tokenizer(chat).save_pretrained(folder)
    return folder


def tiny_student(folder: Path, *, seed: int = 0, hidden: int = 16, chat: bool = False) -> Student:
    """A random student, saved into `folder` and loaded from it."""
    return Student.load(str(tiny_folder(folder, seed=seed, hidden=hidden, chat=chat)))

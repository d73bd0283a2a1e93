"""On a GPU: does a batch change the text of a row (bfloat16, greedy and drawn), and how fast is it; vLLM beside it.

    python gpu/solve_gpu.py [--student smollm2] [--rows 64] [--tokens 256]

Prints one line per figure. vLLM is measured where it is installed, on the same model, and compared text by text.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence

import torch

from redink.failures import Failure
from redink.models.chat import ChatRequest, Message, Reply
from redink.models.smollm2 import smollm2_folder
from redink.models.student import Student
from redink.problems import load_problems
from redink.prompts import load_prompt
from redink.solving.backends import Backend
from redink.solving.local import TransformersBackend
from redink.solving.vllm_engine import VllmBackend


def requests(rows: int, tokens: int, temperature: float) -> list[ChatRequest]:
    """Story problems in our prompt, each with a seed of its own."""
    prompt = load_prompt("solve_hierarchical")
    asked = [prompt.render(question=problem.question) for problem in load_problems("stories", limit=rows, seed=0)]
    return [
        ChatRequest(messages=(Message(role="user", content=text),), max_tokens=tokens, temperature=temperature, seed=n)
        for n, text in enumerate(asked)
    ]


def texts(backend: Backend, asked: Sequence[ChatRequest]) -> tuple[list[str], float]:
    """Texts, and tokens per second."""
    began = time.perf_counter()
    replies = asyncio.run(backend.generate(asked))
    made = [reply for reply in replies if isinstance(reply, Reply)]
    rate = sum(reply.usage.completion_tokens for reply in made) / (time.perf_counter() - began)
    return [reply.text if isinstance(reply, Reply) else "" for reply in replies], rate


def same(one: Sequence[str], other: Sequence[str]) -> str:
    """How many texts are equal."""
    return f"{sum(a == b for a, b in zip(one, other, strict=True))} of {len(one)}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--student", default="smollm2")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256)
    chosen = parser.parse_args()
    name = str(smollm2_folder()) if chosen.student == "smollm2" else chosen.student
    student = Student.load(name)
    print(f"{name} on {student.model.device}, {student.model.dtype}, torch {torch.__version__}")
    for temperature in (0.0, 0.7):
        asked = requests(chosen.rows, chosen.tokens, temperature)
        batched, fast = texts(TransformersBackend(student, batch_rows=chosen.rows), asked)
        alone, slow = texts(TransformersBackend(student, batch_rows=1), asked)
        print(f"figure same_text_batched_t{temperature:g} = {same(batched, alone)} rows")
        print(f"figure tokens_per_s_t{temperature:g} = {fast:.0f} batched, {slow:.0f} one by one")
    try:
        engine = VllmBackend(name, {"gpu_memory_utilization": 0.5})
    except Failure as failure:
        print(f"vLLM left out: {failure}")
        return
    asked = requests(chosen.rows, chosen.tokens, 0.0)
    served, rate = texts(engine, asked)
    print(f"figure vllm_tokens_per_s = {rate:.0f}")
    print(f"figure vllm_same_text = {same(served, texts(TransformersBackend(student), asked)[0])} rows")


if __name__ == "__main__":
    main()

"""`Solver`: hierarchical reasoning, then self-correction for k rounds, ended by the model's own verdict.

A round shows the model its own solution and asks for the first wrong step (P_c without the gold solution; SuperCorrect
section 3.2). It ends the work when it leaves the answer as it is; otherwise the corrected solution is what the next
round looks at. No gold answer is known here, so no oracle can stop it (Huang et al. 2024 on why that matters).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from pydantic import Field

from redink.answers import compare, extract
from redink.failures import Failure, MarkupFailure, ReplyFailure
from redink.markup import parse_steps, parse_trace, render_thought
from redink.models.chat import ChatRequest, ChatSettings, Message, Reply
from redink.models.student import Student, derived_seed
from redink.solving.backends import Backend
from redink.solving.local import BATCH_ROWS, TransformersBackend
from redink.solving.presets import AUTO, Preset, preset_for
from redink.solving.served import OpenAIBackend
from redink.solving.solved import Event, SelfCorrection, Solved
from redink.solving.store import ThoughtStore
from redink.solving.vllm_engine import VllmBackend
from redink.stages.preferences import right_step
from redink.teaching.recheck import results_only
from redink.types import Attempt, CorrectionTrace, Row, Step, Thought, Verdict

T = TypeVar("T")
OnDone = Callable[[int, Solved | ReplyFailure], None]
BackendName = Literal["auto", "transformers", "vllm", "openai"]
AT_ONCE = 256
"""Questions that go through their rounds together."""
UNSEEN = Verdict(outcome="ungradable", reason="no gold answer is known")


class Generation(Row):
    """How solutions and reviews are drawn; temperature 0 is greedy."""

    temperature: float = Field(0.0, ge=0, description="0 takes the likeliest token each time.")
    top_p: float = Field(1.0, gt=0, le=1, description="Nucleus of what is drawn.")
    seed: int = Field(0, ge=0, description="Each question and round has a seed of its own, made from this one.")
    max_new_tokens: int | None = Field(None, ge=1, description="Longest solution and review; None: the preset's.")


class Solver:
    """Solves questions with one model; any thread, one event loop at a time for a served model."""

    def __init__(
        self,
        backend: Backend,
        preset: Preset,
        rounds: int = 1,
        *,
        generation: Generation | None = None,
        store: ThoughtStore | None = None,
        thoughts: int = 3,
    ) -> None:
        """At most `rounds` rounds of self-correction (0: none); with a `store`, so many of its `thoughts` are shown."""
        if rounds < 0:
            raise Failure(f"rounds is {rounds}.", "0 is a solution without review, 1 one review, and so on.")
        self.backend, self.preset, self.rounds = backend, preset, rounds
        self.generation = generation or Generation()
        self.store, self.thoughts = store, thoughts

    @classmethod
    def load(
        cls,
        name: str = "bundled",
        *,
        backend: BackendName = "auto",
        preset: str = AUTO,
        rounds: int = 1,
        base_url: str | None = None,
        key_name: str = "OPENAI_API_KEY",
        prompt: str | None = None,
        correct: str | None = None,
        prompts: Path | str | None = None,
        generation: Generation | None = None,
        store: ThoughtStore | Path | str | None = None,
        thoughts: int = 3,
        batch_rows: int = BATCH_ROWS,
        options: dict[str, Any] | None = None,
    ) -> Solver:
        """A student's name (`bundled`, `smollm2`, a folder, a hub id), or with `base_url` a model of that server.

        `backend` 'auto' is 'openai' where there is a `base_url`, else 'transformers'; `options` go to vLLM's engine.
        `prompts` is a folder of prompts or a model card (see `preset_for`).
        Raises `Failure` for what the user can mend.
        """
        served = _served(backend, base_url)
        chosen = _backend(name, served, base_url, key_name, batch_rows, options)
        how = preset_for(
            name, chat=chosen.chat, preset=preset, prompt=prompt, correct=correct,
            prompts=Path(prompts) if prompts else None, card=None if served == "openai" else model_card(name),
        )  # fmt: skip
        held = ThoughtStore.load(Path(store)) if isinstance(store, (str, Path)) else store
        return cls(chosen, how, rounds, generation=generation, store=held, thoughts=thoughts)

    # --- one question -----------------------------------------------------------------------------------------------

    def solve(self, question: str) -> Solved:
        """Solve and review one question; raises `ReplyFailure` if the model gives no solution, else as `Backend`."""
        return run_anywhere(self.asolve(question))

    async def asolve(self, question: str) -> Solved:
        """`solve` in an event loop."""
        (done,) = await self.asolve_all([question])
        if isinstance(done, ReplyFailure):
            raise done
        return done

    async def astream(self, question: str) -> AsyncIterator[Event]:
        """Solution and reviews piece by piece, then the result; raises as `solve` does."""
        request, thoughts = self.solution_request(question)
        reply: Reply | None = None
        async with _pieces(self.backend, request) as pieces:
            async for piece in pieces:
                if isinstance(piece, Reply):
                    reply = piece
                else:
                    yield Event(kind="solution", text=piece)
        solved = self.first(question, request, _whole(reply), thoughts)
        while self.goes_on(solved):
            reply = None
            try:
                async with _pieces(self.backend, self.review_request(solved)) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, Reply):
                            reply = piece
                        else:
                            yield Event(kind="correction", round=len(solved.rounds) + 1, text=piece)
                reviewed: Reply | ReplyFailure = _whole(reply)
            except ReplyFailure as failure:
                reviewed = failure
            solved = await asyncio.to_thread(self.reviewed, solved, reviewed)
        yield Event(kind="done", round=len(solved.rounds), solved=solved)

    # --- many questions ---------------------------------------------------------------------------------------------

    def solve_all(self, questions: Sequence[str], on_done: OnDone | None = None) -> list[Solved | ReplyFailure]:
        """Solve many, batched; a question that came to nothing is its `ReplyFailure`, the others go on.

        `on_done` is told of each by its place as it is finished. Greedy texts are those of `solve`; drawn ones too, as
        each question has a seed of its own.
        """
        return run_anywhere(self.asolve_all(questions, on_done))

    async def asolve_all(self, questions: Sequence[str], on_done: OnDone | None = None) -> list[Solved | ReplyFailure]:
        """`solve_all` in an event loop."""
        found: list[Solved | ReplyFailure] = []
        for start in range(0, len(questions), AT_ONCE):
            found += await self._together(questions[start : start + AT_ONCE], start, on_done)
        return found

    async def _together(
        self, questions: Sequence[str], start: int, on_done: OnDone | None
    ) -> list[Solved | ReplyFailure]:
        """Some questions, round by round; those that have ended leave the batch."""
        asked = [self.solution_request(question) for question in questions]
        replies = await self.backend.generate([request for request, _ in asked])
        found = [
            reply if isinstance(reply, ReplyFailure) else self.first(question, request, reply, thoughts)
            for question, (request, thoughts), reply in zip(questions, asked, replies, strict=True)
        ]
        open_places = list(range(len(found)))
        while open_places:
            going = self._going([(place, found[place]) for place in open_places], start, on_done)
            open_places = [place for place, _ in going]
            reviews = await self.backend.generate([self.review_request(row) for _, row in going]) if going else []
            for (place, row), review in zip(going, reviews, strict=True):
                found[place] = await asyncio.to_thread(self.reviewed, row, review)
        return found

    def _going(
        self, rows: Sequence[tuple[int, Solved | ReplyFailure]], start: int, on_done: OnDone | None
    ) -> list[tuple[int, Solved]]:
        """Those that another round is made for; `on_done` is told of the others."""
        found = []
        for place, row in rows:
            if isinstance(row, Solved) and self.goes_on(row):
                found.append((place, row))
            elif on_done is not None:
                on_done(start + place, row)
        return found

    # --- the steps --------------------------------------------------------------------------------------------------

    def solution_request(self, question: str) -> tuple[ChatRequest, tuple[str, ...]]:
        """What is asked first, and the thoughts of the store that it holds."""
        thoughts = tuple(self.store.search(question, self.thoughts)) if self.store is not None else ()
        return self._request(self.preset.asking(question, thoughts), question, 0), thoughts

    def review_request(self, solved: Solved) -> ChatRequest:
        """What is asked for the next round: to look over what stands."""
        number = len(solved.rounds) + 1
        messages = self.preset.reviewing(solved.question, self._standing(solved))
        return self._request(messages, solved.question, number)

    def first(self, question: str, request: ChatRequest, reply: Reply, thoughts: tuple[str, ...] = ()) -> Solved:
        """The first reply, read; no round has been made."""
        text = reply.text.strip()
        answer = extract(text).answer
        return Solved(
            question=question, prompt=request.messages[-1].content, text=text, steps=parse_steps(text), answer=answer,
            final_answer=answer, stopped="rounds" if self.rounds else "off", thoughts=thoughts,
            tokens_in=reply.usage.prompt_tokens, tokens_out=reply.usage.completion_tokens,
            truncated=reply.finish_reason == "length", model=self.backend.name,
        )  # fmt: skip

    def goes_on(self, solved: Solved) -> bool:
        """Whether another round is to be made."""
        return solved.stopped == "rounds" and len(solved.rounds) < self.rounds

    def reviewed(self, solved: Solved, reply: Reply | ReplyFailure) -> Solved:
        """The result after one more round, and whether the review ends the work.

        A review that came to nothing is an unreadable one: what stood before it stands.
        """
        if isinstance(reply, ReplyFailure):
            reply = Reply(text="")
        text = reply.text.strip()
        answer = extract(text).answer
        review = SelfCorrection(
            round=len(solved.rounds) + 1, text=text, steps=parse_steps(text), error=_error(text), answer=answer,
            truncated=reply.finish_reason == "length",
        )  # fmt: skip
        update: dict[str, Any] = {
            "rounds": (*solved.rounds, review),
            "tokens_in": solved.tokens_in + reply.usage.prompt_tokens,
            "tokens_out": solved.tokens_out + reply.usage.completion_tokens,
        }
        if answer is None:
            update["stopped"] = "unreadable"
        elif same_answer(answer, solved.final_answer):
            update["stopped"] = "corrected" if solved.rounds else "confirmed"
        else:
            update["final_answer"] = answer
        return solved.model_copy(update=update)

    def _standing(self, solved: Solved) -> str:
        """The solution that the next round is shown: the first one, or the last review's with its step mended."""
        text, steps = solved.text, solved.steps
        if solved.rounds:
            text, steps = mended(solved.rounds[-1].text)
        if not self.preset.results_only:
            return text
        answer = solved.final_answer
        return results_only(Attempt(problem_id="-", text=text, steps=steps, answer=answer, verdict=UNSEEN)).text

    def _request(self, messages: tuple[Message, ...], question: str, number: int) -> ChatRequest:
        drawn = self.generation
        settings = ChatSettings(
            temperature=drawn.temperature, top_p=drawn.top_p, stop=self.preset.stop,
            max_tokens=drawn.max_new_tokens or self.preset.max_new_tokens,
            seed=derived_seed(drawn.seed, number, question),
        )  # fmt: skip
        return ChatRequest(messages=messages, **settings.model_dump())


def same_answer(answer: str, before: str | None) -> bool:
    """Whether a review ends with the answer that stood: the same text, or the same value by our checker."""
    return before is not None and (answer == before or compare(answer, before).right)


def mended(review: str) -> tuple[str, tuple[Step, ...]]:
    """The solution that a review comes to: step k as corrected, then the steps it went on with; else the review as is.

    >>> mended("<Step1>2 + 2 = 5<Cause>It is 4.</Cause><Correction>2 + 2 = 4</Correction></Step1><Answer>4</Answer>")[0]
    '<Step1>2 + 2 = 4</Step1>\\n<Answer>4</Answer>'
    """
    try:
        trace = parse_trace(review)
        steps = _corrected_steps(trace)
        return render_thought(Thought(steps=steps, answer=trace.answer)), steps
    except (MarkupFailure, ValueError):
        return review, parse_steps(review)


def _corrected_steps(trace: CorrectionTrace) -> tuple[Step, ...]:
    error = trace.error
    if error is None:
        return trace.steps
    return tuple(right_step(step, error.correction) if step.number == error.step else step for step in trace.steps)


def _error(review: str) -> Any:
    try:
        return parse_trace(review).error
    except MarkupFailure:
        return None


def _pieces(backend: Backend, request: ChatRequest) -> aclosing[AsyncGenerator[str | Reply, None]]:
    """A stream that ends at once when its reader leaves."""
    return aclosing(cast("AsyncGenerator[str | Reply, None]", backend.stream(request)))


def _whole(reply: Reply | None) -> Reply:
    if reply is None:
        raise ReplyFailure("server_failed", "the stream ended without a reply")
    return reply


def _served(backend: BackendName, base_url: str | None) -> BackendName:
    if backend == "openai" and not base_url:
        raise Failure("the openai backend needs the address of a server.", "Add --base-url http://localhost:8000/v1.")
    if base_url and backend in ("transformers", "vllm"):
        raise Failure(
            f"the {backend} backend runs here and takes no --base-url.", "Use --backend openai, or leave it out."
        )
    return ("openai" if base_url else "transformers") if backend == "auto" else backend


def _backend(
    name: str, backend: str, base_url: str | None, key_name: str, batch_rows: int, options: dict[str, Any] | None
) -> Backend:
    if backend == "openai":
        return OpenAIBackend(name, base_url or "", key_name)
    if backend == "vllm":
        return VllmBackend(name, options)
    return TransformersBackend(Student.load(name), batch_rows)


def model_card(name: str) -> str | None:
    """The README.md of a model's folder, or of its repository on the hub if the model was loaded from there."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        path = folder / "README.md"
        return path.read_text("utf-8", errors="replace") if path.is_file() else None
    if name.count("/") != 1:
        return None
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, "README.md")).read_text("utf-8", errors="replace")
    except Exception:  # a card is a courtesy: offline, private or missing, our own words stand in
        return None


def run_anywhere(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine from a plain function, inside a running event loop (a notebook) too."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, work).result()

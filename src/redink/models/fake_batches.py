"""The Batch API of a fake server: upload, create, poll, cancel, download (files and batches, as OpenAI has them)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from itertools import count
from typing import Any

from redink.models.fake_books import Books
from redink.models.fake_http import Request
from redink.models.fake_model import Job, Refused, as_json
from redink.models.fake_script import BatchScript, chances, digest_of

WorkOut = Callable[[bytes], Job | Refused]
Answer = tuple[int, bytes]
_URL = "/v1/chat/completions"


@dataclass
class _Batch:
    """One batch; its results are worked out when its time has come."""

    id: str
    input_file_id: str
    rows: list[dict[str, Any]]
    created: float
    status: str = "in_progress"
    ended: float | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    done: int = 0
    failed: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)  # of the input file

    def as_object(self) -> dict[str, Any]:
        """OpenAI's batch object."""
        faults = {"object": "list", "data": self.faults} if self.faults else None
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": _URL,
            "errors": faults,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": int(self.created),
            "completed_at": int(self.ended) if self.ended and self.status == "completed" else None,
            "request_counts": {"total": len(self.rows), "completed": self.done, "failed": self.failed},
        }


class BatchDesk:
    """Keeps files and batches in memory."""

    def __init__(self, work_out: WorkOut, books: Books, script: Callable[[], tuple[int, BatchScript]]) -> None:
        """`script` gives the seed and the batch script in force."""
        self._work_out, self._books, self._script = work_out, books, script
        self._files: dict[str, bytes] = {}
        self._numbers = count()
        self._batches: dict[str, _Batch] = {}

    def answer(self, request: Request) -> Answer | None:
        """The response to a request about files or batches; None if it is about neither."""
        match request.path.strip("/").split("/"):
            case ["v1", "files", *names]:
                return self._about_files(request, names)
            case ["v1", "batches", *names]:
                return self._about_batches(request, names)
        return None

    def _about_files(self, request: Request, names: list[str]) -> Answer | None:
        if not names:
            return self._upload(request) if request.method == "POST" else None
        if names[0] not in self._files:
            return _missing(names[0])
        if request.method == "DELETE":
            del self._files[names[0]]
            return 200, as_json({"id": names[0], "deleted": True})
        return (200, self._files[names[0]]) if names[1:] == ["content"] else self._file(names[0])

    def _about_batches(self, request: Request, names: list[str]) -> Answer:
        if not names:
            return self._create(request.body) if request.method == "POST" else self._list()
        if names[0] not in self._batches:
            return _missing(names[0])
        batch = self._settled(self._batches[names[0]])
        if names[1:] == ["cancel"] and batch.status == "in_progress":
            batch.status, batch.ended = "cancelled", time.time()
        return 200, as_json(batch.as_object())

    def _list(self) -> Answer:
        objects = [self._settled(batch).as_object() for batch in self._batches.values()]
        return 200, as_json({"object": "list", "data": objects, "has_more": False})

    def _upload(self, request: Request) -> Answer:
        parts = _form(request)
        if parts.get("purpose") != b"batch" or "file" not in parts:
            return 400, Refused(400, "a file and purpose=batch are needed").body()
        name = self._keep(parts["file"])
        return self._file(name)

    def _keep(self, content: bytes) -> str:
        name = f"file-{next(self._numbers)}-{digest_of(content).hex()}"
        self._files[name] = content
        return name

    def _file(self, name: str) -> Answer:
        return 200, as_json({"id": name, "object": "file", "bytes": len(self._files[name]), "purpose": "batch"})

    def _create(self, body: bytes) -> Answer:
        try:
            wanted = json.loads(body)
            content = self._files[wanted["input_file_id"]]
        except (ValueError, TypeError, KeyError):
            return 400, Refused(400, "input_file_id names no file").body()
        rows, faults = _rows(content)
        batch = _Batch(f"batch_{len(self._batches)}", wanted["input_file_id"], rows, time.time(), faults=faults)
        if faults:
            batch.status = "failed"
        self._batches[batch.id] = batch
        return 200, as_json(batch.as_object())

    def _settled(self, batch: _Batch) -> _Batch:
        """The batch, its results written if its time has come."""
        seed, script = self._script()
        if batch.status == "in_progress" and time.time() - batch.created >= script.latency_s:
            self._finish(batch, seed, script)
        return batch

    def _finish(self, batch: _Batch, seed: int, script: BatchScript) -> None:
        good: list[dict[str, Any]] = []
        bad: list[dict[str, Any]] = []
        for row in batch.rows:
            line, expired = self._result(row, seed, script)
            (bad if line["error"] or line["response"]["status_code"] != 200 else good).append(line)
            batch.status = "expired" if expired else batch.status
        batch.done, batch.failed, batch.ended = len(good), len(bad), time.time()
        batch.status = "completed" if batch.status == "in_progress" else batch.status
        batch.output_file_id = self._keep(_lines(good)) if good else None
        batch.error_file_id = self._keep(_lines(bad)) if bad else None

    def _result(self, row: dict[str, Any], seed: int, script: BatchScript) -> tuple[dict[str, Any], bool]:
        """The line of one row, and whether it ran out of time."""
        body = json.dumps(row["body"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        digest = digest_of(body)
        share = chances(seed, digest, self._books.next_try(digest)).fault
        line: dict[str, Any] = {"id": f"batch_req_{digest.hex()}", "custom_id": row["custom_id"]}
        if share < script.expired:
            fault = {"code": "batch_expired", "message": "This request could not be executed in time."}
            return line | {"response": None, "error": fault}, True
        if share < script.expired + script.failed:
            return line | {
                "response": _response(500, Refused(500, "The server had an error.").body()),
                "error": None,
            }, False
        job = self._work_out(body)
        if isinstance(job, Refused):
            return line | {"response": _response(job.status, job.body()), "error": None}, False
        reply = job.completion(self._books.bill(job.digest, job.tokens, batched=True))
        return line | {"response": _response(200, as_json(reply)), "error": None}, False


def _response(status: int, body: bytes) -> dict[str, Any]:
    return {"status_code": status, "request_id": "fake", "body": json.loads(body)}


def _missing(name: str) -> Answer:
    return 404, Refused(404, f"there is no {name}").body()


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(as_json(row) + b"\n" for row in rows)


def _rows(content: bytes) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of an input file, and what is wrong with its lines."""
    rows: list[dict[str, Any]] = []
    faults, seen = [], set()
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            row = json.loads(line)
            good = row["method"] == "POST" and row["url"] == _URL and isinstance(row["body"], dict)
            name = row["custom_id"]
        except (ValueError, TypeError, KeyError):
            good, name = False, None
        if not good or not isinstance(name, str) or name in seen:
            faults.append(
                {"code": "invalid_request", "message": "not a batch row, or its id came before", "line": number}
            )
            continue
        seen.add(name)
        rows.append(row)
    return rows, faults if rows else [*faults, {"code": "empty_file", "message": "no row", "line": None}]


def _form(request: Request) -> dict[str, bytes]:
    """The parts of a multipart form by name (RFC 7578)."""
    kind = Message()
    kind["Content-Type"] = request.field("content-type")
    boundary = str(kind.get_param("boundary", "")).encode()
    parts = {}
    for part in request.body.split(b"--" + boundary)[1:-1] if boundary else ():
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields = Message()
        fields["Content-Disposition"] = _disposition(head)
        parts[str(fields.get_param("name", "", "Content-Disposition"))] = content.removesuffix(b"\r\n")
    return parts


def _disposition(head: bytes) -> str:
    lines = head.decode("latin-1").split("\r\n")
    return next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("content-disp")), "")

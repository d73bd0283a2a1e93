"""`redink push`: an exported folder to the Hugging Face hub; a dry run says what would go, and asks nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, RepoCard
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils._validators import validate_repo_id
from pydantic import Field

from redink.failures import BadInput, Failure
from redink.types import Row

RepoType = Literal["model", "dataset"]


class PushPlan(Row):
    """What a push sends, and where."""

    repository: str = Field(description="The repository, org/name.")
    repo_type: RepoType = Field(description="A model or a data set.")
    private: bool = Field(description="Whether it is made private, if it is made.")
    files: dict[str, int] = Field(description="Bytes of each file, by its path in the repository.")
    card: str = Field(description="README.md as it will stand.")


def plan_push(folder: Path, repository: str, private: bool = False) -> PushPlan:
    """What `push` would send of an exported folder.

    Raises `Failure` for a repository name that the hub does not take, and `BadInput` for a folder that is no export,
    or whose card has no metadata.
    """
    if repository.count("/") != 1:
        raise Failure(f"{repository!r} is no repository of the hub.", "Name it as org/name or user/name.")
    try:
        validate_repo_id(repository)
    except HFValidationError as failure:
        raise Failure(f"{repository!r} is no repository of the hub ({failure}).", "Name it as org/name.") from None
    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return PushPlan(
        repository=repository, repo_type=_repo_type(files), private=private, files=files, card=_card(folder)
    )


def _repo_type(files: dict[str, int]) -> RepoType:
    return "model" if any(name.endswith((".safetensors", ".gguf")) for name in files) else "dataset"


def _card(folder: Path) -> str:
    path = folder / "README.md"
    try:
        card = RepoCard.load(path)
    except (OSError, ValueError):
        raise BadInput(path, "is missing, or its metadata cannot be read.", "Export the folder with redink.") from None
    if not card.data.to_dict():
        raise BadInput(path, "holds no metadata.", "Export the folder with redink export or redink export-data.")
    return path.read_text("utf-8")


def push(folder: Path, plan: PushPlan, message: str = "Exported by redink") -> str:
    """Send the folder in one commit, making the repository if it is not there; returns its address.

    The token is the one of the environment (HF_TOKEN) or of `hf auth login`; it is never shown. Raises `Failure`.
    """
    api = HfApi(library_name="redink")
    try:
        made = api.create_repo(plan.repository, repo_type=plan.repo_type, private=plan.private, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=made.repo_id,
            repo_type=plan.repo_type,
            commit_message=message,
            allow_patterns=list(plan.files),
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError, ValueError) as failure:
        raise Failure(f"{plan.repository}: the hub did not take it ({_why(failure)}).", _remedy(failure)) from None
    return str(made)


def _why(failure: Exception) -> str:
    """The first line of what the hub said, without request ids or anything after it."""
    status = getattr(getattr(failure, "response", None), "status_code", None)
    said = getattr(failure, "server_message", None) or str(failure).strip().partition("\n")[0]
    return f"HTTP {status}: {said}"[:300] if status else said[:300]


def _remedy(failure: Exception) -> str:
    status = getattr(getattr(failure, "response", None), "status_code", None)
    if status in {401, 403} or isinstance(failure, LocalTokenNotFoundError):
        return "Log in with: hf auth login (or set HF_TOKEN), with a token that may write there."
    return "Try again; --dry-run shows what would be sent."

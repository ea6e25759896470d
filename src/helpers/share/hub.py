"""Upload a folder to the model hub, in one commit, and only what belongs there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.share.errors import ShareError
from helpers.share.folder import ABOUT, SUMS, check_content, check_sums

REMEDY = {
    401: "the hub does not accept the token: make one with write access under Settings, Access "
    "Tokens of your account, and put it into HF_TOKEN",
    403: "the token may not write there: use one with write access, or a --repo of your own",
    404: "the hub finds no such place: check the part of --repo before the slash",
}


@dataclass(frozen=True)
class Uploaded:
    """What is on the hub now."""

    url: str
    commit: str
    private: bool


def upload(
    folder: Path,
    repo: str,
    token: str,
    *,
    private: bool = False,
    update: bool = False,
    endpoint: str | None = None,
) -> Uploaded:
    """Create a repository on the hub and put all files of a folder into it, in one commit.

    Parameters
    ----------
    folder : as `helpers.share.write_folder` makes it.
    repo : ``user/name``.
    token : of the hub, with write access; it is written nowhere.
    private : the repository can be seen by its owner only.
    update : `repo` exists already and gets a new version.
    endpoint : address of the hub (default: huggingface.co, or HF_ENDPOINT).

    Raises
    ------
    ShareError
        If the folder holds anything unexpected or was changed, the repository exists, the hub
        refuses, or the connection breaks. The folder stays as it is; nothing half is visible, as
        files become part of a repository by one commit at the end.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HTTPError  # base of all errors of its HTTP library

    sums = check_sums(folder)
    files = check_content(folder)
    if extra := [path.name for path in files if path.name not in {*sums, SUMS}]:
        raise ShareError(f"{folder.name} holds {extra[0]}, which is not in {SUMS}: take it out")
    api = HfApi(endpoint=endpoint, token=token)
    try:
        if update:
            _check_visibility(api, repo, private)
        else:
            api.create_repo(repo, private=private)
        done = api.create_commit(
            repo,
            [CommitOperationAdd(path.name, str(path)) for path in files],
            commit_message=f"{folder.name}: model, card and codebook",
        )
    except (HTTPError, RuntimeError, ValueError, OSError) as error:
        raise ShareError(_explain(error, folder, repo, token, update)) from error
    return Uploaded(f"{api.endpoint}/{repo}", str(done.oid), private)


def _check_visibility(api: Any, repo: str, private: bool) -> None:
    """Refuse to add to a repository that is public when it was asked for as private, and back."""
    is_private = bool(api.model_info(repo).private)
    if is_private != private:
        now, wanted = ("private", "public") if is_private else ("public", "private")
        option = "with --private" if is_private else "without --private"
        raise ShareError(
            f"{repo} is {now} on the hub, and you asked for {wanted}: run the command {option}, or "
            "change its visibility on its page"
        )
    names = {item.rfilename for item in api.model_info(repo).siblings or []}
    if names - {".gitattributes"} and ABOUT not in names:
        raise ShareError(f"{repo} holds something that this command did not make: choose another")


def _explain(error: Exception, folder: Path, repo: str, token: str, update: bool) -> str:
    """Say what went wrong, without the token, and what to do."""
    kept = f"The folder {folder.name} is complete and unchanged."
    cause: BaseException | None = error
    while cause is not None and getattr(cause, "response", None) is None:
        cause = cause.__cause__
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if status == 409 and not update:
        return (
            f"{repo} exists on the hub already. To put a new version into it, add --update; else "
            f"choose another --repo. {kept}"
        )
    if status in REMEDY:
        return f"{repo}: {REMEDY[status]}. {kept}"
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(token, "...")
    again = "" if update else " (add --update if it says then that the repository exists)"
    what = f"status {status}" if status else "the connection broke, or the hub refused"
    return f"{repo}: {what}: {reason}. {kept} Run the same command again{again}"

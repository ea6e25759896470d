"""Loader of the authors' data sets on the Hugging Face hub, for the online profiles.

The revision is pinned, the number of rows is checked, and a column that is not there is reported
with those that are: what the columns are called stands in the task's YAML.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pandas as pd

from helpers.data.sections import HubSection, hub_section
from helpers.data.validation import (
    DataError,
    Loaded,
    check_texts,
    dropped_table,
    is_text,
)
from helpers.tasks import Task

Fetch = Callable[[HubSection], dict[str, pd.DataFrame]]


def load_hub(task: Task, fetch: Fetch | None = None) -> Loaded:
    """Load the texts of a hub data set (needs a network, or a filled cache).

    Parameters
    ----------
    task : its section ``data.hub`` names data set, revision and columns (see `HubSection`).
    fetch : returns split -> frame; default: download through `datasets`.

    Returns
    -------
    Loaded with columns id, text, labels, extras and paper_split (the split that the authors
    used). Dropped and reported: rows without a label in the codebook, without the text that the
    markers enclose, and repeated ids.

    Raises
    ------
    DataError
        If a column or split is missing (those found are listed), the number of rows is not the
        expected one, or a label is unknown.
    """
    section = hub_section(task)
    parts = []
    for split, part in (fetch or download)(section).items():
        _check_part(section, split, part)
        parts.append(part.assign(paper_split=split))
    raw = pd.concat(parts, ignore_index=True)
    frame = pd.DataFrame({"id": raw[section.id].astype(str).str.strip()})
    frame["text"] = [cut_text(text, section.between) for text in raw[section.text]]
    labels = [_labels(task, section, value) for value in raw[section.labels]]
    frame["labels"] = [None if item is None else task.dumps(item) for item in labels]
    frame = frame.join(raw[[*section.extras, "paper_split"]])
    empty, unlabelled = frame["text"] == "", frame["labels"].isna()
    repeated = frame["id"].duplicated() & ~empty & ~unlabelled
    dropped = dropped_table(
        [
            ("no text between the markers", frame.loc[empty, "id"]),
            ("no label of the codebook", frame.loc[unlabelled & ~empty, "id"]),
            ("id used before: first row kept", frame.loc[repeated, "id"]),
        ]
    )
    kept = frame[~empty & ~unlabelled & ~repeated].reset_index(drop=True)
    if kept.empty:
        raise DataError(
            f"{section.dataset}: no text is left. Check `between` in {task.name}.yaml, data.hub: "
            f"the markers {section.between} do not occur in the column '{section.text}'"
        )
    notes = {"dataset": section.dataset, "revision": section.revision, "rows": len(raw)}
    return Loaded(check_texts(kept, section.dataset), dropped[dropped["count"] > 0], notes)


def cut_text(text: Any, between: tuple[str, str] | None) -> str:
    """Return the part of a formatted prompt between two markers, or ``""`` if one is missing.

    The end marker is looked for from the right, since a text may hold the same words.
    """
    if not is_text(text):
        return ""
    if between is None:
        return text.strip()
    start, end = text.find(between[0]), text.rfind(between[1])
    if start < 0 or end < start + len(between[0]):
        return ""
    return text[start + len(between[0]) : end].strip()


def _labels(task: Task, section: HubSection, value: Any) -> Any:
    if task.label_type == "multi":
        kept = [label for label in value if label not in section.ignore_labels]
        return task.check_labels(kept) if kept else None
    return None if str(value) in section.ignore_labels else task.check_labels(value)


def _check_part(section: HubSection, split: str, part: pd.DataFrame) -> None:
    wanted = {section.id, section.text, section.labels, *section.extras}
    if missing := wanted - set(part.columns):
        raise DataError(
            f"{section.dataset} ({split}) has no column {', '.join(sorted(missing))}; columns "
            f"found: {', '.join(map(str, part.columns))}. Correct data.hub in the task's YAML."
        )
    if len(part) != section.rows.get(split):
        raise DataError(
            f"{section.dataset} ({split}) has {len(part)} rows, expected "
            f"{section.rows.get(split)}: it is not the version that the study used. Check "
            "`revision` and `rows` of data.hub in the task's YAML."
        )


def download(section: HubSection) -> dict[str, pd.DataFrame]:
    """Download the splits that ``rows`` names, at the pinned revision."""
    from datasets import load_dataset
    from huggingface_hub.errors import HTTPError  # base of all errors of its HTTP library

    try:
        revision = resolve_revision(section.dataset, section.revision)
        data = load_dataset(section.dataset, revision=revision)
    except (HTTPError, ConnectionError, FileNotFoundError) as error:
        raise DataError(
            f"could not download {section.dataset} at {section.revision} from the hub "
            f"({type(error).__name__}). Check the network, and HF_HUB_OFFLINE; or use a profile "
            "with embedded or upstream data."
        ) from error
    if missing := set(section.rows) - set(data):
        raise DataError(f"{section.dataset} has no split {sorted(missing)}; found {sorted(data)}")
    return {split: data[split].to_pandas() for split in section.rows}


def resolve_revision(dataset: str, revision: str, commits: Any = None) -> str:
    """Return the full commit id of a pinned revision.

    Parameters
    ----------
    revision : a full commit id, its first digits (7 or more), or a day: the last commit up to it.
    commits : newest first, with ``commit_id`` and ``created_at`` (default: asked from the hub).
    """
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    if commits is None:
        from huggingface_hub import HfApi

        commits = HfApi().list_repo_commits(dataset, repo_type="dataset")
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", revision):
        day = datetime.fromisoformat(revision).date()
        found = [c.commit_id for c in commits if c.created_at.date() <= day][:1]
    else:
        found = [c.commit_id for c in commits if c.commit_id.startswith(revision)]
    if len(found) != 1:
        raise DataError(f"{dataset}: revision '{revision}' fits {len(found)} commits of the hub")
    return found[0]

"""The output folder: whose it is, what is done in it, and its manifest."""

from __future__ import annotations

import contextlib
import csv
import json
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from helpers.classify.files import InputFile
from helpers.classify.reading import Shard
from helpers.classify.settings import ClassifyError, Settings, identity
from helpers.classify.worker import record_path, write_rows
from helpers.runs import atomic_path, file_sha256, versions, write_json

FOLDERS = ("plan", "records", "labels", "bad_rows", "attempts")
RUN, MANIFEST = "run.json", "manifest.json"
OUTPUTS = ("labels", "bad_rows")
COLUMNS = ("shard", "file", "start", "rows", "labelled", "bad", "labels_sha256", "bad_rows_sha256")
FILES_AT_FAULT = "unreadable-files"


@contextlib.contextmanager
def opened(output: Path, files: list[InputFile], settings: Settings) -> Iterator[None]:
    """Begin a folder, or go on in it, and keep other runs out meanwhile.

    Raises
    ------
    ClassifyError
        If another run works in it, or it belongs to other inputs, another model or settings.
    """
    belongs = identity(settings) | {"inputs": [[file.name, file.size] for file in files]}
    output.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(output / ".lock", timeout=0):
            _claim(output, json.loads(json.dumps(belongs)))
            _clean(output)
            yield
            _clean(output)
    except Timeout as error:
        raise ClassifyError(
            f"another run is at work in {output.name}: wait until it ends, or take another --output"
        ) from error


def _claim(output: Path, belongs: dict[str, Any]) -> None:
    record = output / RUN
    if record.is_file():
        known = json.loads(record.read_text(encoding="utf-8"))
        lines = list(_differences(known, belongs))
        if lines and any((output / "records").glob("*")):
            raise ClassifyError(
                f"the folder {output.name} belongs to another run:\n  "
                + "\n  ".join(lines)
                + "\ntake another --output, or delete the folder to do all of it again"
            )
        if lines:  # nothing was done in it: a run that failed early, say by a misspelt column
            shutil.rmtree(output / "plan", ignore_errors=True)
            write_json(record, belongs)
    elif any(path.name != ".lock" for path in output.iterdir()):
        raise ClassifyError(f"the folder {output.name} holds other files: take another --output")
    else:
        write_json(record, belongs)
    for name in FOLDERS:
        (output / name).mkdir(exist_ok=True)


def _differences(known: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    """Yield a line on each thing that is not what it was."""
    for name in ("settings", "versions"):
        for key in sorted(known[name].keys() | wanted[name].keys()):
            was, now = known[name].get(key), wanted[name].get(key)
            if was != now:
                yield f"{key} was {was}, now {now}"
    for name in ("model", "adapter"):
        if _weights(known[name]) != _weights(wanted[name]):
            yield f"{name} was {_short(known[name])}, now {_short(wanted[name])}"
    for name, what in (("task", "prompts or codebook of the task"), ("code", "code that answers")):
        if known[name] != wanted[name]:
            yield f"the {what} changed"
    if known["inputs"] != wanted["inputs"]:
        was, now = (dict(map(tuple, side["inputs"])) for side in (known, wanted))
        changed = sorted(key for key in was.keys() | now.keys() if was.get(key) != now.get(key))
        yield f"input files were {len(was)}, now {len(now)}; new, gone or changed: {changed[0]}" + (
            f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        )


def _weights(model: dict[str, str] | None) -> Any:
    """Return what a model is known by: a folder by its content, not by its name."""
    return model and (model.get("sha256") or (model["name"], model["commit"]))


def _short(model: dict[str, str] | None) -> str:
    if model is None:
        return "none"
    return f"{model['name']} ({(model.get('sha256') or model.get('commit') or '')[:12]})"


def _clean(output: Path) -> None:
    """Remove what killed processes left half written, and their tallies."""
    for path in output.rglob(".*.tmp*"):
        path.unlink(missing_ok=True)
    for path in (output / "attempts").iterdir():
        path.unlink(missing_ok=True)


def is_done(output: Path, shard: Shard) -> bool:
    """Whether a shard's record and files are there, whole, and its rows could be read."""
    record = record_of(output, shard)
    if record is None:
        return False
    files = [(output / kind / f"{shard.name}.parquet", f"{kind}_bytes") for kind in OUTPUTS]
    sizes = [path.stat().st_size if path.is_file() else None for path, _ in files]
    whole = sizes == [record.get(key) for _, key in files]
    if not whole or record["unread"] or record["rows"] != shard.rows:
        record_path(output, shard.name).unlink()
        return False
    return True


def drop_others(output: Path, shards: list[Shard]) -> None:
    """Remove shards that no plan holds any more: a limit ends elsewhere once a file is readable."""
    names = {shard.name for shard in shards} | {FILES_AT_FAULT}
    for kind in ("records", *OUTPUTS):
        for path in (output / kind).iterdir():
            if path.stem not in names:
                path.unlink()


def record_of(output: Path, shard: Shard) -> dict[str, Any] | None:
    """Read the record of a shard; None if there is none."""
    path = record_path(output, shard.name)
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def finish(output: Path, shards: list[Shard], broken: dict[str, str]) -> dict[str, Any]:
    """Write the manifest, once every shard is done.

    Returns
    -------
    rows, labelled, bad; and ``unread``: parts of files that could not be read -> reason.
    """
    _note_files(output, broken)
    totals = {"rows": 0, "labelled": 0, "bad": 0}
    unread: dict[str, str] = {}
    with (
        atomic_path(output / "manifest.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as handle,
    ):
        lines = csv.DictWriter(handle, COLUMNS, extrasaction="ignore", lineterminator="\n")
        lines.writeheader()
        for shard in shards:
            record = record_of(output, shard)
            if record is None or record["labelled"] + record["bad"] != shard.rows:
                raise ClassifyError(f"{shard.file}: shard {shard.name} is not done: run again")
            lines.writerow({"shard": shard.name} | record)
            totals = {key: count + record[key] for key, count in totals.items()}
            if record["unread"]:
                last = shard.start + shard.rows - 1
                unread[f"{shard.file}, rows {shard.start} to {last}"] = record["unread"]
    belongs = json.loads((output / RUN).read_text(encoding="utf-8"))
    about = {"unreadable_files": broken, "rows": totals, "unread": unread}
    more = {"shards": len(shards), "packages": versions() | {"ray": _ray_version()}}
    write_json(output / MANIFEST, belongs | about | more)
    return totals | {"unread": unread}


def _note_files(output: Path, broken: dict[str, str]) -> None:
    """Put files that cannot be read into the table of bad rows: no row, no id."""
    path = output / "bad_rows" / f"{FILES_AT_FAULT}.parquet"
    path.unlink(missing_ok=True)
    if broken:
        names, reasons = list(broken), list(broken.values())
        rows = {"file": names, "row": None, "id": None, "reason": reasons}
        write_rows(path, pd.DataFrame(rows))


def _ray_version() -> str:
    try:
        return version("ray")
    except PackageNotFoundError:
        return "none"


def verify(output: Path) -> list[str]:
    """Compare all output files with the manifest; return what does not fit, one line each."""
    table = pd.read_csv(output / "manifest.csv", dtype=str, keep_default_na=False)
    wrong = []
    for kind in OUTPUTS:
        wanted = dict(zip(table["shard"], table[f"{kind}_sha256"], strict=True))
        there = {path.stem for path in (output / kind).glob("*.parquet")} - {FILES_AT_FAULT}
        for name in sorted(there | {name for name, sha in wanted.items() if sha}):
            path = output / kind / f"{name}.parquet"
            if not path.is_file():
                wrong.append(f"{kind}/{path.name} is missing")
            elif file_sha256(path) != wanted.get(name):
                wrong.append(f"{kind}/{path.name} was changed, or is none of this run")
    return wrong

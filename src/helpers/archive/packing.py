"""Fill the folder of an archive: copies, what is made from the run, README and metadata."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from helpers.archive import codebook, contents, crate, dataverse, facts
from helpers.archive.deposit import Deposit
from helpers.archive.exhibits import exhibits
from helpers.archive.readme import TEMPLATES, Packed, readme
from helpers.archive.record import record_of
from helpers.archive.rights import Rights
from helpers.chapters import export_html
from helpers.executed import clean, places, places_of
from helpers.profiles import REPO
from helpers.runs import Run, atomic_path, file_sha256, write_frame, write_json


@dataclass(frozen=True)
class Options:
    """What the user chose; see ``python -m helpers.archive make --help``."""

    models: str = "none"
    include_own: bool = False
    allow_stale: bool = False
    chapters: Sequence[str] = ()
    allowed: Sequence[str] = ()
    repo: Path = REPO
    say: Callable[[str], None] = field(default=print)


def fill(
    run: Run,
    folder: Path,
    deposit: Deposit,
    rights: Rights,
    chapters: list[str],
    stale: list[str],
    options: Options,
) -> Packed:
    """Put everything into the folder; remove what does not belong there."""
    files, models = contents.model_files(run, options.models)
    files |= contents.result_files(run, rights)
    code = contents.code_files(options.repo)
    code += contents.own_files(options.repo) if options.include_own else []
    files |= {f"code/{path.relative_to(options.repo).as_posix()}": path for path in code}
    for name in ("LICENSE", "LICENSE-DATA", "CITATION.cff"):
        files[name] = options.repo / name
    made = _generated(run, chapters, rights)
    _remove_others(folder, {*files, *made})
    for target, source in files.items():
        _copy(source, folder / target)
    for target, write in made.items():
        write(folder / target)
    write_frame(folder / "results" / "models.csv", models)
    left_out = contents.excluded_files(run, rights)
    if (entry := facts.models_left_out(models)) is not None:
        left_out.append(entry)
    listed = exhibits(folder / "results")
    packed = Packed(run, folder, deposit, rights, chapters, stale, left_out, listed, models)
    _describe(packed)
    return packed


def _generated(run: Run, chapters: list[str], rights: Rights) -> dict[str, Callable[[Path], None]]:
    """Return archive path -> function that writes it, for what is no plain copy."""
    made: dict[str, Callable[[Path], None]] = {}
    for name in chapters:
        notebook = run.root / "notebooks" / f"{name}.ipynb"
        made[f"results/notebooks/{name}.ipynb"] = _notebook_writer(notebook)
        made[f"results/notebooks/{name}.html"] = _page_writer
    for part, name in contents.CELLS.items():
        frame = contents.cell_predictions(run.root, part, rights)
        if frame is not None:
            made[f"results/predictions/{name}.parquet"] = _frame_writer(frame)
    return made


def _notebook_writer(source: Path) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        import nbformat

        notebook = nbformat.read(source, as_version=4)
        known = places(places_of(notebook.metadata))
        with atomic_path(target) as temporary:
            nbformat.write(nbformat.from_dict(clean(notebook, known)), temporary)

    return write


def _page_writer(target: Path) -> None:
    export_html(target.with_suffix(".ipynb"))


def _frame_writer(frame: pd.DataFrame) -> Callable[[Path], None]:
    return lambda target: write_frame(target, frame)


def _describe(packed: Packed) -> None:
    """Write README, codebooks, metadata and the record that `verify` reads."""
    folder = packed.folder
    rows = codebook.dictionary(folder / "results")
    write_frame(folder / "codebooks" / "tables.csv", rows)
    _write_text(folder / "codebooks" / "tables.md", codebook.as_markdown(rows))
    profile = packed.run.profile
    makefile = (TEMPLATES / "Makefile").read_text(encoding="utf-8")
    _write_text(folder / "Makefile", makefile.replace("@PROFILE@", profile.name))
    write_json(folder / "archive.json", record_of(packed))
    _write_text(folder / "README.md", readme(packed))
    dataverse.write_dataset(packed)
    crate.write_crate(packed)


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _copy(source: Path, target: Path) -> None:
    """Copy a file, unless the same content is there already (from a call that was killed)."""
    if target.is_file() and _equal(source, target):
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _equal(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and file_sha256(one) == file_sha256(other)


def _remove_others(folder: Path, wanted: set[str]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(folder).as_posix() not in wanted:
            path.unlink()

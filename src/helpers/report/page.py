"""Put the sections together and write ``report.html``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from helpers.executed import without_places
from helpers.report.blocks import Excerpt, Missing, Section
from helpers.report.folder import RunFolder
from helpers.runs import HelpersError, Run, atomic_path

PAGE = "report.html"
Made = TypeVar("Made")


class ReportError(HelpersError):
    """The page cannot be made."""


def make_report(run: Run) -> Path:
    """Write the report page of a run from what the run has left.

    Parameters
    ----------
    run : its folder must exist; it may lack any file.

    Returns
    -------
    Path of the page. The same folder gives the same bytes.

    Raises
    ------
    ReportError
        If there is no such run.
    HelpersError
        If the disk is full; an earlier page is then still there.
    """
    if not run.root.is_dir():
        raise ReportError(
            f"there is no run of profile {run.profile.name} yet: "
            f"`make replicate PROFILE={run.profile.name}` makes one, and this page with it"
        )
    text = render(RunFolder(run))
    path = run.root / PAGE
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _builders() -> list[tuple[Callable[[RunFolder], Section], tuple[str, ...]]]:
    """Sections in the order of the page, each with the chapters whose takeaways end it."""
    from helpers.report.sections import (
        classes,
        comparison,
        estimates,
        labelling,
        machine,
        overview,
        parts,
        published,
        training_size,
    )

    return [
        (overview.texts, ("01",)),
        (comparison.comparison, ("05",)),
        (classes.size_axis, ()),
        (classes.per_class, ()),
        (labelling.labelling, ("02", "03")),
        (training_size.training_size, ("06",)),
        (parts.parts, ("07",)),
        (estimates.estimates, ("09",)),
        (published.published, ("08",)),
        (machine.times, ()),
        (machine.environment, ()),
        (machine.files, ()),
    ]


def render(folder: RunFolder) -> str:
    """Return the page as HTML."""
    from helpers.report.sections import comparison, overview

    sections = [_built(build, folder, chapters) for build, chapters in _builders()]
    top = {
        "lead": _attempt(overview.lead, folder),
        "cautions": _attempt(overview.cautions, folder),
        "cards": _attempt(comparison.cards, folder),
    }
    problems = [Missing(made) for made in top.values() if isinstance(made, str)]
    content = {
        **{name: [] if isinstance(made, str) else made for name, made in top.items()},
        "profile": folder.profile,
        "sections": [section for section in sections if section.blocks],
        "absent": [section for section in sections if not section.blocks],
        "problems": problems + overview.problems(folder),
    }
    return without_places(_template().render(**content), folder.places)


def _attempt(make: Callable[[RunFolder], Made], folder: RunFolder) -> Made | str:
    """Make a part of the page; return why not, where its tables are not what they should be."""
    try:
        return make(folder)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return (
            f"This part could not be made from the run's tables ({type(error).__name__}: {error}). "
            "They may come from another version: run the chapters again."
        )


def _built(
    build: Callable[[RunFolder], Section], folder: RunFolder, chapters: tuple[str, ...]
) -> Section:
    made = _attempt(build, folder)
    if isinstance(made, str):
        name = build.__name__.replace("_", "-")
        return Section(name, name.replace("-", " ").capitalize(), [Missing(made)])
    if made.blocks:
        made.blocks += _takeaways(folder, chapters)
    return made


def _takeaways(folder: RunFolder, chapters: tuple[str, ...]) -> list[Excerpt]:
    found = []
    for number in chapters:
        chapter = folder.chapter(number)
        text = folder.notebook(chapter.name).takeaways if chapter else ""
        if chapter and text:
            summary = (
                f"Takeaways of chapter {chapter.number} (its notebook, the same for every run)"
            )
            found.append(Excerpt(summary, text, folder.notebook_link(number)))
    return found


def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("helpers.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")

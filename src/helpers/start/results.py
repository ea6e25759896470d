"""What a run has found so far, for a first look; else what the package's own run found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from helpers.comparison import scoreboard
from helpers.runs import REPO, Run
from helpers.tasks import Task, load_task

PACKAGED = REPO / "figures" / "demo"
"""The committed figures and scores of the demo."""
SHOWN = ("05_headline_*", "06_learning_curve_*", "09_shares_*")
"""One figure of each, that of the run's first task where there are several."""
ROWS, BASELINES = 5, ("majority", "predict-nothing")
"""The best rows of a task, and the baselines that read nothing: no table goes without one."""


@dataclass(frozen=True)
class Results:
    """What there is to show.

    Attributes
    ----------
    source : sentence that says where it comes from.
    scores : title of a task -> its best rows on the test texts and the baselines, see
        `comparison.scoreboard`.
    figures : files.
    """

    source: str
    scores: dict[str, pd.DataFrame]
    figures: list[Path]


def find_results(run: Run) -> Results:
    """Return scores and figures of a run, or those that come with the package.

    A run whose chapter 05 has not finished has no scores yet; what it has in figures is shown.
    """
    tasks = [load_task(name) for name in run.profile.tasks]
    figures = _figures(run.root / "figures", tasks)
    scores = _scores(run.root / "tables" / "metrics.csv", tasks)
    if figures or scores:
        text = f"From this machine's run, `runs/{run.profile.name}`: {run.profile.title}."
        return Results(text, scores, figures)
    text = (
        f"The profile `{run.profile.name}` has not been run here yet. These results come **with "
        "the package**: its own run of the profile `demo` (embedded texts, offline model). They "
        "are not the paper's."
    )
    packaged = _scores(PACKAGED / "metrics.csv", tasks)
    return Results(text, packaged, _figures(PACKAGED, tasks))


def _scores(path: Path, tasks: list[Task]) -> dict[str, pd.DataFrame]:
    if not path.is_file():
        return {}
    metrics = pd.read_csv(path)
    tested = set(metrics.loc[metrics["split"] == "test", "task"])
    found = [task for task in tasks if task.name in tested]
    boards = {task.title: scoreboard(metrics, task) for task in found}
    return {title: board[_shown(board)] for title, board in boards.items()}


def _shown(board: pd.DataFrame) -> list[bool]:
    return [row < ROWS or model in BASELINES for row, model in enumerate(board.index)]


def _figures(folder: Path, tasks: list[Task]) -> list[Path]:
    found = []
    for pattern in SHOWN:
        of_task = [folder / f"{pattern.replace('*', task.name)}.png" for task in tasks]
        found += [path for path in of_task if path.is_file()][:1]
    return found

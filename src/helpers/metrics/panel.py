"""The answers of several labellers to the same texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.metrics.reliability import Ratings
from helpers.metrics.tidy import DECIMALS, MetricsError
from helpers.tasks import TaskError

if TYPE_CHECKING:
    from helpers.tasks import Task

# JSON labels by id: a Series with ids as index, or a frame with columns id and labels.
Gold: TypeAlias = "pd.Series | pd.DataFrame"

COLUMNS = ("id", "labeller", "status", "labels")


@dataclass(frozen=True)
class Panel:
    """What each labeller said about each text.

    Attributes
    ----------
    ids, names : texts (sorted, so that the order of rows decides nothing) and labellers.
    levels : ndarray of int, (texts, labellers, L)
        0 absent, 1 present; with intensities 1, 2, 3. All 0 where there is no usable answer.
    answered : ndarray of bool, (texts, labellers)
        Whether there is an answer with status ``ok``.
    label_type : str
    """

    ids: list[str]
    names: list[str]
    levels: NDArray[np.uint8]
    answered: NDArray[np.bool_]
    label_type: str

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether a labeller gave a label to a text, at any level; (texts, labellers, L)."""
        return self.levels > 0

    def ratings(self) -> Ratings:
        """Units to compare: a text and its label; with several labels each (text, label) cell.

        A cell has the categories absent and present; intensities are not compared.
        """
        n, count, n_labels = self.levels.shape
        if self.label_type == "single":
            chosen = np.where(self.answered, self.levels.argmax(axis=2), -1)
            return Ratings(chosen, np.arange(n), n, n_labels)
        cells = np.where(self.answered[:, :, None], self.present.astype(int), -1)
        units = cells.transpose(0, 2, 1).reshape(n * n_labels, count)
        return Ratings(units, np.repeat(np.arange(n), n_labels), n, 2)

    def with_gold(self, task: Task, gold: Gold) -> tuple[Panel, NDArray[np.uint8]]:
        """Return the texts whose gold labels are known, and these labels, (texts, L).

        Parameters
        ----------
        task : Task
        gold : Series or DataFrame
            JSON labels by id (index, or columns id and labels).

        Raises
        ------
        MetricsError
            If an id occurs twice, or gold labels are not in the codebook.
        """
        cells = gold.set_index("id")["labels"] if isinstance(gold, pd.DataFrame) else gold
        if cells.index.has_duplicates:
            twice = cells.index[cells.index.duplicated()][0]
            raise MetricsError(f"gold labels: id {twice!r} occurs twice; keep one")
        keep = np.isin(np.array(self.ids, dtype=object), np.array(cells.index, dtype=object))
        ids = [name for name, kept in zip(self.ids, keep, strict=True) if kept]
        where = [f"gold labels of {name!r}" for name in ids]
        truth = _encode(task, cells.loc[ids].tolist(), where)
        return Panel(
            ids, self.names, self.levels[keep], self.answered[keep], self.label_type
        ), truth


def read_panel(task: Task, labelled: pd.DataFrame, names: Sequence[str] | None = None) -> Panel:
    """Read the answers of the crowd; a pair (text, labeller) without row is a missing answer.

    Parameters
    ----------
    task : Task
        With labels; a numeric task has none to agree on.
    labelled : DataFrame
        Columns id, labeller, status and labels (JSON; read where the status is ``ok``).
    names : sequence of str, optional
        Labellers, in the order of the result; all in order of appearance without it.

    Raises
    ------
    MetricsError
        If the task is numeric, a column or labeller is missing, a pair occurs twice, or an
        answer with status ``ok`` is no label of the codebook.
    """
    if task.label_type == "numeric":
        raise MetricsError(f"task {task.name} is numeric: it has no labels to agree on")
    if missing := [name for name in COLUMNS if name not in labelled.columns]:
        raise MetricsError(f"answers of the crowd: column(s) {', '.join(missing)} missing")
    found = list(dict.fromkeys(labelled["labeller"]))
    chosen = found if names is None else list(names)
    if unknown := [name for name in chosen if name not in found]:
        raise MetricsError(
            f"answers of the crowd: nothing by {', '.join(unknown)}; there is {', '.join(found)}"
        )
    ids = sorted(set(labelled["id"]))
    rows = labelled[labelled["labeller"].isin(chosen)]
    if (twice := rows.duplicated(["id", "labeller"])).any():
        first = rows[twice].iloc[0]
        raise MetricsError(
            f"answers of the crowd: {first['labeller']} answers {first['id']!r} twice; keep one"
        )
    rows = rows[rows["status"] == "ok"]
    where = [f"{a} on {b!r}" for a, b in zip(rows["labeller"], rows["id"], strict=True)]
    text = pd.Index(ids).get_indexer(rows["id"])
    labeller = pd.Index(chosen).get_indexer(rows["labeller"])
    levels = np.zeros((len(ids), len(chosen), len(task.labels)), dtype=np.uint8)
    answered = np.zeros(levels.shape[:2], dtype=bool)
    levels[text, labeller] = _encode(task, rows["labels"].tolist(), where)
    answered[text, labeller] = True
    return Panel(ids, chosen, levels, answered, task.label_type)


def _encode(task: Task, cells: list[Any], where: list[str]) -> NDArray[np.uint8]:
    """Put JSON labels into a matrix; each distinct cell is read once."""
    read: dict[Any, Any] = {}
    for cell, place in zip(cells, where, strict=True):
        if cell in read:
            continue
        try:
            read[cell] = task.check_labels(task.loads(cell))
        except (TaskError, ValueError, TypeError) as error:
            raise MetricsError(
                f"{place}: {cell!r} is no answer of task {task.name} ({error}); "
                "give it another status than ok, or correct it"
            ) from error
    codes = {cell: number for number, cell in enumerate(read)}
    table = task.encode(list(read.values()))
    return table[[codes[cell] for cell in cells]]


def rounded(rows: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Frame of the rows; fractions rounded as in the other tables of results."""
    frame = pd.DataFrame(rows, columns=list(columns))
    numbers = frame.select_dtypes("float").columns
    # Adding 0 turns -0.0, which prints differently, into 0.0.
    frame[numbers] = frame[numbers].round(DECIMALS) + 0.0
    return frame

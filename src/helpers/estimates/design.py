"""What a simulation varies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from helpers.estimates.sample import METHODS, EstimatesError, check_choice, check_settings

ESTIMANDS = ("share", "share_by_group", "outcome", "covariate")
PROBABILITIES = ("equal", "unequal")


@dataclass(frozen=True)
class Design:
    """What to simulate: all combinations of n_coded, accuracy and differential.

    Attributes
    ----------
    table : rows with known truth: columns truth, predicted, and those named below.
    label : the label whose share, or effect, is estimated.
    truth, predicted : columns of `table`.
    covariate : column, numeric or of two values; standardised. Needed by the estimands
        ``outcome`` and ``covariate``, and by differential error.
    group : column, for ``share_by_group``.
    estimands : ``share`` of the label; ``share_by_group``; ``outcome``: slope of the label (0 or
        1) on the covariate; ``covariate``: coefficient of the label in the regression of
        effect x label + 0.5 x covariate + normal noise on label and covariate.
    n_coded : coded rows.
    accuracy : shares of right predictions (None: as in the table); see `draws.with_errors`.
    differential : shares of the predictions that are replaced by the label in rows whose
        covariate is above its median (0: the model's own errors alone).
    n_population : rows N of each population (default: as many as the table has).
    target : ``superpopulation`` (each population is drawn from the table with replacement; the
        truth is the table's) or ``population`` (the table is the population).
    probabilities : ``equal`` (simple random sampling), or ``unequal``: independent draws, three
        times as likely for rows that are predicted to have the label.
    effect, noise : of the simulated outcome.
    """

    table: pd.DataFrame
    label: Any
    truth: str = "truth"
    predicted: str = "predicted"
    covariate: str | None = None
    group: str | None = None
    estimands: tuple[str, ...] = ("share",)
    n_coded: tuple[int, ...] = (100, 200, 400)
    accuracy: tuple[float | None, ...] = (None,)
    differential: tuple[float, ...] = (0.0,)
    n_population: int | None = None
    target: str = "superpopulation"
    probabilities: str = "equal"
    effect: float = 1.0
    noise: float = 1.0
    level: float = 0.95
    methods: tuple[str, ...] = METHODS

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        check_settings(self.methods, self.target, self.level)
        check_choice(self.probabilities, PROBABILITIES, "probabilities")
        for estimand in self.estimands:
            check_choice(estimand, ESTIMANDS, "estimand")
        needs = {"covariate": {"outcome", "covariate"}, "group": {"share_by_group"}}
        for name, estimands in needs.items():
            if getattr(self, name) is None and estimands & set(self.estimands):
                raise EstimatesError(f"the estimands {sorted(estimands)} need `{name}`")
        if self.covariate is None and any(self.differential):
            raise EstimatesError("differential error needs `covariate`")
        named = [self.truth, self.predicted, self.covariate, self.group]
        for column in [name for name in named if name is not None]:
            if column not in self.table or self.table[column].isna().any():
                raise EstimatesError(f"the table needs a column {column!r} without empty cells")
        if (self.table[self.truth] == self.label).mean() in (0, 1):
            raise EstimatesError(
                f"label {self.label!r} is in no row of {self.truth!r}, or in all: check its type"
            )

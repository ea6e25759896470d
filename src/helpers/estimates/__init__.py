"""From predicted labels and a coded subsample to shares and coefficients with honest intervals.

A model has labelled all N rows of a population table; coders have coded n of them, drawn with
known inclusion probabilities. Four methods, by name:

- ``naive``: predicted labels taken as truth (all N rows; wrong where the model errs);
- ``classical``: the coded rows alone, weighted by 1 / probability (Hájek);
- ``ppi``: prediction-powered, PPI++ with power tuning (Angelopoulos, Duchi & Zrnic 2023,
  arXiv:2311.01453): the coded rows, plus lambda times what the predictions of the other rows add;
- ``dsl``: design-based supervised learning (Egami, Hinck, Stewart & Wei 2023, arXiv:2306.04746;
  2024 for covariates): predictions everywhere, corrected by (R / probability) (truth - prediction).

The way to use it::

    coded = coded_sample(population, coded_rows, id="id", truth="truth", probability="probability")
    shares(population, coded, labels, predicted="predicted", by="year")
    regression(population, coded, outcome="predicted", covariates=["year"], label="1")
    regression(population, coded, outcome="y", covariates=["predicted", "year"],
               predicted_role="covariate", predicted="predicted", label="1")
    labels_needed(0.10, share=0.3, n_population=100_000, correlation=0.8, method="ppi")
    simulate(Design(table, label="1", covariate="year"), replications=1000, seed=1)

All tables have the columns method, estimate, std_error, ci_low, ci_high, n (rows of the
population, or of the group), n_coded and note (why an interval is missing, else empty).

`target` says what the intervals are for: ``"superpopulation"`` (default: the process that made
these rows; also right, a little wide, for the rows themselves) or ``"population"`` (exactly these
N rows: the finite-population correction applies, and with all rows coded nothing is uncertain).
"""

from helpers.estimates.design import Design
from helpers.estimates.planning import effective_sample_size, labels_needed
from helpers.estimates.regression import regression
from helpers.estimates.sample import METHODS, Coded, EstimatesError, coded_sample
from helpers.estimates.shares import shares
from helpers.estimates.simulate import simulate
from helpers.estimates.table import estimate_table

__all__ = [
    "METHODS",
    "Coded",
    "Design",
    "EstimatesError",
    "coded_sample",
    "effective_sample_size",
    "estimate_table",
    "labels_needed",
    "regression",
    "shares",
    "simulate",
]

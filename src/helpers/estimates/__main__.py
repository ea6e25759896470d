"""Command line: ``python -m helpers.estimates --population FILE --coded FILE --output FILE``."""

from __future__ import annotations

import argparse
import sys

from helpers.estimates.sample import METHODS, TARGETS
from helpers.estimates.table import estimate_table
from helpers.runs import HelpersError


def parser() -> argparse.ArgumentParser:
    """Return the options."""
    made = argparse.ArgumentParser(
        prog="python -m helpers.estimates",
        description="Shares of labels, or a regression, from predictions and a coded subsample.",
    )
    made.add_argument("--population", required=True, help="CSV or Parquet: all rows, predicted")
    made.add_argument("--coded", required=True, help="CSV or Parquet: the coded rows")
    made.add_argument("--output", required=True, help="CSV or Parquet to write")
    made.add_argument("--id", default="id", help="id column of both files")
    made.add_argument("--predicted", default="predicted", help="predictions, in the population")
    made.add_argument("--truth", default="truth", help="coders' labels, in the coded rows")
    made.add_argument(
        "--probability", default="probability", help="inclusion probabilities, in the coded rows"
    )
    made.add_argument("--labels", nargs="+", help="label set (default: all labels seen)")
    made.add_argument("--by", nargs="+", help="columns that define groups")
    made.add_argument("--outcome", help="regression: outcome (default: the predictions)")
    made.add_argument("--covariates", nargs="+", default=(), help="regression: covariates")
    made.add_argument("--label", help="regression: the label that the predicted variable is about")
    made.add_argument("--family", default="ols", choices=("ols", "logit"))
    made.add_argument("--balance", nargs="+", default=(), help="columns to check the sample by")
    made.add_argument("--level", type=float, default=0.95, help="nominal coverage")
    made.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    made.add_argument("--target", default=TARGETS[0], choices=TARGETS)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Estimate, write the table and print it; 2 if the tables cannot be used."""
    options = parser().parse_args(arguments)
    try:
        table = estimate_table(**vars(options))
    except HelpersError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table.to_string(index=False, float_format="{:.4g}".format, max_rows=60))
    print(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A small corpus in three formats, and a model that answers at once, for tests of classification.

Run as a script it classifies and is killed on the way:

    python tests/classify_example.py INPUT OUTPUT DIES_AFTER
"""

import csv
import json
import os
import signal
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from helpers.classify import Engine, Settings, classify
from helpers.tasks import load_task

CODES = list(load_task("cap").codes)


def corpus(number):
    middle = 'with "quotes",\nline ends and ümläuts'
    texts = [f"Text {i}, {middle}{'!' * (i % 7)}" for i in range(number)]
    return pd.DataFrame({"id": [f"id-{i}" for i in range(number)], "text": texts, "more": 1.5})


def write(frame, path):
    """Write a frame in the format that the suffix names; Parquet in row groups of 9."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(frame), path, row_group_size=9)
    elif path.suffix == ".csv":
        frame.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
    else:
        lines = (json.dumps(row, ensure_ascii=False) for row in frame.to_dict("records"))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Instant:
    """Answers by the length of a text; dies or fails where it is told to."""

    def __init__(self, dies_after=None, fails_at=()):
        self.dies_after, self.fails_at, self.asked = dies_after, fails_at, 0

    def answer(self, frame):
        if self.asked == self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        self.asked += 1
        if self.asked in self.fails_at:
            raise RuntimeError("the machine is on fire")
        labels = [CODES[len(text) % len(CODES)] for text in frame["text"]]
        return frame[["id", "split"]].assign(
            status="ok", answer=[f" {x}" for x in labels], labels=[json.dumps(x) for x in labels]
        )


def settings(folder, **changed):
    """Settings for the instant model, whose weights lie in `folder`."""
    folder.mkdir(exist_ok=True)
    if not any(folder.iterdir()):
        (folder / "config.json").write_text("{}", encoding="utf-8")
    return Settings(**{"task": "cap", "model": str(folder), "batch_rows": 7} | changed)


def run(inputs, output, asked, model=None):
    """Classify in this process with the instant model."""
    model = model or Instant()
    return classify([str(inputs)], output, asked, Engine(ray=False), lambda *_: model)


def rows_of(output, kind="labels"):
    """All rows of the output, in the order of the input."""
    parts = [pd.read_parquet(path) for path in sorted((output / kind).glob("*.parquet"))]
    frame = pd.concat(parts, ignore_index=True)
    return frame.sort_values(["file", "row"]).reset_index(drop=True)


if __name__ == "__main__":
    given, out, after = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    run(given, out, settings(out.parent / "model"), Instant(dies_after=after))

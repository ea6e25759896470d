"""Reading chapter 07: the table, the sentences, and the texts that are taken apart."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from helpers.encoders.cells import Cell, Work
from helpers.encoders.occlusion import occlude
from helpers.experiments import parts_reading

IDS = [f"t{number:02d}" for number in range(40)]
TEXTS = [
    " ".join(["bomb"] * (n % 3) + ["rain"] * (n % 5) + ["town"] * (2 + n // 4)) for n in range(40)
]
TARGETS = [np.log1p(len(text.split())) for text in TEXTS]
RUN = SimpleNamespace(profile=SimpleNamespace(bootstrap=100, seed=1))


def scores_of(scheme, values):
    rows = [
        {"task": "conflict", "scheme": scheme, "method": method, "metric": metric, "n": 40}
        | {"value": value if metric == "r2" else 4 * (1 - value), "trainable_share": share}
        | {"ci_low": value - 0.1, "ci_high": value + 0.1}
        for method, (value, share) in values.items()
        for metric in ("r2", "mse")
    ]
    return pd.DataFrame(rows)


SCORES = pd.concat(
    [
        scores_of(
            "group", {"frozen": (0.2, 1e-5), "all": (0.1, 1.0), "dictionary-forest": (0.15, np.nan)}
        ),
        scores_of(
            "fold", {"frozen": (0.3, 1e-5), "all": (0.5, 1.0), "dictionary-forest": (0.4, np.nan)}
        ),
    ]
)


def gain(scheme, method, difference, low, high):
    row = {"task": "conflict", "scheme": scheme, "method": method, "metric": "r2"}
    return row | {"difference": difference, "difference_low": low, "difference_high": high}


def test_board_has_a_row_a_method_best_first_within_a_scheme():
    board = parts_reading.parts_board(SCORES, "conflict")
    assert board.index.tolist() == [
        ("cross-validation", "all"),
        ("cross-validation", "dictionary, forest"),
        ("cross-validation", "head only"),
        ("whole groups left out", "head only"),
        ("whole groups left out", "dictionary, forest"),
        ("whole groups left out", "all"),
    ]
    assert board["R²"].iloc[0] == "0.50 [0.40, 0.60]"
    assert board["learns"].tolist() == ["100%", "", "0.001%", "0.001%", "", "100%"]


def test_sentences_follow_the_intervals():
    gains = pd.DataFrame(
        [
            gain("fold", "all", 0.1, 0.02, 0.2),
            gain("fold", "frozen", -0.1, -0.2, -0.01),
            gain("group", "all", -0.05, -0.2, 0.1),
        ]
    )
    said = parts_reading.parts_reading(SCORES, gains, "conflict").split("\n\n")
    assert said[0].startswith("**whole groups left out.** Of the encoders, head only (0.001%")
    assert "Trained all: not to be told from the better dictionary" in said[0]
    assert "all (100% of the parameters) has the highest R²: 0.50" in said[1]
    assert "Trained all: better than the better dictionary" in said[1]
    assert "head only: worse than the better dictionary (difference of R² −0.10" in said[1]


@pytest.fixture
def work(monkeypatch, tmp_path):
    frame = pd.DataFrame({"id": IDS, "text": TEXTS, "labels": [str(y) for y in TARGETS]})
    parts = [(tuple(range(0, 40, 2)), tuple(range(1, 40, 2)))]
    parts.append((parts[0][1], parts[0][0]))
    cells = [
        Cell("fold", 0, k, train, test, 5, tmp_path / f"{k}", 2 * k)
        for k, (train, test) in enumerate(parts)
    ]
    works = [Work("conflict", method, frame, cells) for method in ("mean", "all")]
    monkeypatch.setattr(parts_reading, "parts_work", lambda run, task: works)
    monkeypatch.setattr(parts_reading, "read_task", lambda run, task: frame)
    words = occlude(
        lambda t: np.array([x.count("bomb") for x in t]), [TEXTS[8], TEXTS[2]], [IDS[8], IDS[2]]
    )
    monkeypatch.setattr(parts_reading, "explained", lambda run, task: words)
    (tmp_path / "1").mkdir()
    guesses = pd.DataFrame({"id": IDS[::2], "labels": ["1.5"] * 20})
    guesses.to_parquet(tmp_path / "1" / "predictions.parquet")
    return works


def test_length_alone_is_scored_on_the_held_out_texts(work):
    found = parts_reading.length_scores(RUN, "conflict").set_index("metric")
    assert found["value"]["r2"] > 0.99 and found["value"]["mse"] < 0.01
    assert set(found["n"]) == {40} and set(found["method"]) == {"length"}
    assert parts_reading.length_scores(RUN, "cap").empty


def test_dictionary_of_explained_texts_is_that_of_their_training_texts(work, monkeypatch):
    learned = []
    real = parts_reading.learn_dictionary
    monkeypatch.setattr(
        parts_reading, "learn_dictionary", lambda t, y, **k: learned.append(t) or real(t, y, **k)
    )
    items = list(parts_reading.explained_texts(RUN, "conflict"))
    assert [item.id for item in items] == [IDS[8], IDS[2]]
    assert learned == [TEXTS[1::2]]  # the second fold, whose model was explained; learned once
    assert items[0].text == TEXTS[8] and items[0].predicted == "1.50"
    assert items[0].truth == f"{TARGETS[8]:.2f}"


def test_texts_share_one_scale_of_colours(work):
    pages = parts_reading.coloured_texts(RUN, "conflict")
    assert (
        len(pages) == 2 and pages[0].startswith("<div") and f"{IDS[8]}: predicted 1.50" in pages[0]
    )
    table = parts_reading.words_side_by_side(RUN, "conflict", 2)
    assert table["id"].drop_duplicates().tolist() == [IDS[8], IDS[2]]
    assert table["encoder_word"].iloc[0] == "bomb" and table["effect"].iloc[0] == 2

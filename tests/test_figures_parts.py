"""Figures of chapter 07: what is drawn where, and that labels can be read."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from helpers import figures
from helpers.figures.parts import readable_share
from helpers.figures.style import PUBLISHED_BACKGROUND
from helpers.published import PublishedError
from helpers.published.wang import FILE, published_gains

METHODS = {  # R2 and share of parameters that learn
    "mean": (-0.01, None),
    "dictionary-forest": (0.492, None),
    "dictionary-boosting": (0.485, None),
    "scratch": (0.12, 1.0),
    "top-2": (0.48, 0.157),
    "all": (0.51, 1.0),
    "frozen": (0.41, 1.7e-5),
    "lora": (0.47, 0.031),
}


def score_table(methods=METHODS):
    rows = []
    for method, (r2, share) in methods.items():
        for metric, value in (("r2", r2), ("mse", 4.4 * (1 - r2))):
            row = {"task": "conflict", "scheme": "fold", "method": method, "metric": metric}
            row |= {"value": value, "ci_low": value - 0.06, "ci_high": value + 0.06}
            rows.append(row | {"trainable_share": share, "n": 410})
    return pd.DataFrame(rows)


def gain_table():
    rows = [
        ("conflict", "fold", "frozen", "r2", -0.17, -0.3, -0.02),
        ("conflict", "fold", "frozen", "mse", 0.16, 0.02, 0.3),
        ("conflict", "fold", "all", "r2", 0.04, -0.08, 0.2),
        ("conflict", "fold", "all", "mse", -0.04, -0.15, 0.1),
        ("conflict", "fold", "scratch", "r2", np.nan, np.nan, np.nan),
        ("conflict", "fold", "scratch", "mse", 0.73, np.nan, np.nan),
    ]
    columns = ["task", "scheme", "method", "metric", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns)


def error_table(methods=("all", "dictionary-forest", "mean")):
    rows = [
        ("conflict", group, method, "mse", value + place, value, value + 2.0, 30 + len(group))
        for group, value in (("Aland", 2.0), ("Borland", 1.0), ("Cland", 3.0))
        for place, method in enumerate(methods)
    ]
    columns = ["task", "group", "method", "metric", "value", "ci_low", "ci_high", "n"]
    return pd.DataFrame(rows, columns=columns)


def text_boxes(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    found = []
    for axes in figure.axes:
        low, high = axes.get_xlim()
        # matplotlib keeps labels of ticks beyond the limits, undrawn.
        ticks = [tick for tick in axes.get_xticklabels() if low <= tick.get_position()[0] <= high]
        found += [text.get_window_extent() for text in [*axes.texts, *ticks] if text.get_text()]
    return found, figure.bbox


def overlapping(boxes):
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]


def trained(table=None, metrics=("r2", "mse")):
    table = score_table() if table is None else table
    return figures.trained_share(table, "conflict", metrics, "Title", embedded=True)


def test_methods_stand_in_the_order_of_their_share_and_scratch_last():
    figure = trained()
    ticks = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
    assert ticks == [
        "head only\n0.0017%",
        "LoRA\n3.1%",
        "top 2 layers\n16%",
        "all\n100%",
        "from scratch\n100%",
    ]
    assert "(embedded texts)" in figure.get_suptitle()


def test_panels_show_their_metric_at_the_right_heights():
    for axes, metric in zip(trained().axes, ("r2", "mse"), strict=True):
        table = score_table().set_index(["metric", "method"])["value"][metric]
        points = [line for line in axes.lines if line.get_marker() == "o"]
        drawn = [float(line.get_ydata()[0]) for line in points]
        assert drawn == pytest.approx(table[["frozen", "lora", "top-2", "all", "scratch"]].tolist())
        assert [line.get_markerfacecolor() == "white" for line in points] == [False] * 4 + [True]
        assert metric == "r2" or "lower is better" in axes.get_title(loc="left")


def test_what_trains_no_encoder_is_a_line_across():
    axes = trained().axes[0]
    across = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert sorted(across) == pytest.approx([-0.01, 0.485, 0.492])
    assert any("dictionary, forest 0.49" in text.get_text() for text in axes.texts)


def test_no_label_lies_upon_another_or_outside():
    boxes, page = text_boxes(trained())
    assert not overlapping(boxes)
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 for box in boxes)


def test_a_score_without_interval_is_drawn():
    table = score_table()
    table[["ci_low", "ci_high"]] = np.nan
    assert len(trained(table).axes) == 2


@pytest.mark.parametrize(
    ("table", "metrics", "message"),
    [
        (score_table({"mean": (0.0, None)}), ("r2",), "no method that trains an encoder"),
        (score_table().drop(columns="trainable_share"), ("r2",), "trainable_share"),
        (score_table(), ("r2", "accuracy"), "no scores accuracy"),
        (score_table().assign(task="cap"), ("r2",), "no rows"),
    ],
)
def test_tables_that_lack_something_are_refused(table, metrics, message):
    with pytest.raises(figures.FigureError, match=message):
        trained(table, metrics)


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.7e-5, "0.0017%"), (0.0312, "3.1%"), (0.0996, "10%"), (0.333, "33%"), (1.0, "100%")],
)
def test_shares_have_two_digits_that_count(share, text):
    assert readable_share(share) == text


def test_published_gains_stand_apart_on_their_ground():
    figure = figures.relative_gains(gain_table(), published_gains(), "conflict", "Title")
    for axes, share in zip(figure.axes, (0.27, -0.46), strict=True):
        diamonds = [line for line in axes.lines if line.get_marker() == "D"]
        assert [line.get_xdata()[0] for line in diamonds] == pytest.approx([share])
        assert to_hex(axes.patches[0].get_facecolor()) == PUBLISHED_BACKGROUND.lower()
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels[-1] == "published: Wang 2024,\nother data"
    assert labels[:-1] == ["from scratch", "all", "head only"]
    boxes, _ = text_boxes(figure)
    assert not overlapping(boxes)


def test_undefined_gains_are_left_out_and_zero_has_no_sign():
    table = gain_table()
    table.loc[2, "gain"] = -0.001
    figure = figures.relative_gains(table, None, "conflict", "Title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0%", "−17%"]
    with pytest.raises(figures.FigureError, match="no rows"):
        figures.relative_gains(table.assign(gain=np.nan), None, "conflict", "Title")


def test_groups_are_sorted_by_the_first_method_best_on_top():
    figure = figures.by_group(error_table(), "conflict", "mse", "Title")
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert labels == ["Cland (35)", "Aland (35)", "Borland (37)"]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["all", "dictionary, forest", "mean or majority"]


def test_groups_show_the_methods_asked_for():
    table = error_table()
    figure = figures.by_group(table, "conflict", "mse", "Title", methods=["mean", "all"])
    assert len(figure.legends[0].get_texts()) == 2
    with pytest.raises(figures.FigureError, match="8 methods, at most 7"):
        figures.by_group(error_table([f"top-{k}" for k in range(1, 9)]), "conflict", "mse", "Title")
    with pytest.raises(figures.FigureError, match="no rows"):
        figures.by_group(table, "conflict", "mae", "Title")


def test_published_gains_are_those_of_the_letter():
    table = published_gains().set_index("metric")
    assert table["value"].to_dict() == {"r2": 27, "mse": -46}
    assert set(table["source"]) == {"Wang 2024"}


@pytest.mark.parametrize("fault", ["missing", "column", "unit"])
def test_broken_published_gains_are_named(tmp_path, fault):
    if fault != "missing":
        frame = pd.DataFrame({"quantity": ["gain_r2"], "value": [27], "unit": ["points"]})
        frame = frame.assign(source="x") if fault == "unit" else frame
        frame.to_csv(tmp_path / FILE, index=False)
    with pytest.raises(PublishedError, match=r"wang_2024\.csv"):
        published_gains(tmp_path)

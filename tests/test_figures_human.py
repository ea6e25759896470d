"""Figures of the human coding: what they show comes from the tables."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from coding_example import LABELS, as_posts, planted
from matplotlib.colors import to_hex

from helpers.audit.coding.acceptance import acceptance, coder_strictness
from helpers.audit.coding.ceiling import ceiling_table, scores_by_posts
from helpers.audit.coding.coder_as_model import coder_as_model
from helpers.figures import FigureError, save_figure
from helpers.figures.human_coding import coder_acceptance, dimension_acceptance
from helpers.figures.noise_ceiling import noise_ceiling
from helpers.figures.style import BLUE, VERMILLION
from helpers.published.archive import open_archive
from helpers.tasks import load_task


@pytest.fixture(scope="module")
def coded():
    return planted(150, 0.15, seed=4, double=0.5, coders="abc")


@pytest.fixture(scope="module")
def accepted(coded):
    return acceptance(coded[0], n_resamples=50)


@pytest.fixture(scope="module")
def tables(coded):
    rows, right = coded
    both = as_posts(rows, {"oracle": right})
    return (
        ceiling_table(rows, len(LABELS), n_resamples=20, n_draws=3),
        scores_by_posts(rows, both, n_resamples=50),
        coder_as_model(rows, LABELS, both, n_resamples=50),
    )


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def ticks(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def points(axes, colour):
    """Marks of a colour, as (x, y)."""
    found = [
        line.get_xydata()
        for line in axes.lines
        if line.get_marker() in ("o", "s") and to_hex(line.get_color()) == to_hex(colour)
    ]
    return np.vstack(found)


def test_each_coder_has_a_mark_and_a_count(coded, accepted):
    figure = coder_acceptance(accepted, coder_strictness(coded[0]), "Coders")
    left = figure.axes[0]
    assert ticks(left) == ["coder a", "coder b", "coder c", "all coders"]
    for llm, colour in (("GPT4", BLUE), ("LLAMA2", VERMILLION)):
        rows = accepted[accepted["grouping"].isin(["coder x llm", "llm"])]
        rows = rows[rows["llm"] == llm]
        assert np.allclose(sorted(points(left, colour)[:, 0]), sorted(rows["share"]))
        for row in rows.itertuples():
            assert f"{row.share:.0%} of {row.n:,}" in words(figure)
    assert "adjusted for model, dimension." in figure.get_supxlabel()


def test_codings_that_do_not_name_models_are_drawn_in_one(coded):
    rows = coded[0].drop(columns="llm")
    table = acceptance(rows, n_resamples=20)
    figure = coder_acceptance(table, coder_strictness(rows), "Coders")
    assert f"{rows['accepted'].mean():.0%} of {len(rows):,}" in words(figure)
    assert not figure.legends
    assert len(ticks(dimension_acceptance(table, "Dimensions").axes[0])) == len(LABELS)


def test_dimensions_are_sorted_and_none_is_left_out(accepted):
    figure = dimension_acceptance(accepted, "Dimensions")
    rows = accepted[accepted["grouping"] == "dimension"].sort_values(["share", "dimension"])
    assert ticks(figure.axes[0]) == rows["dimension"].tolist()
    for n in accepted.loc[accepted["grouping"] == "dimension x llm", "n"]:
        assert f"{n:,}" in words(figure)


def test_shares_of_few_posts_have_no_interval():
    rows, _ = planted(30, 0.1, seed=1)
    rare = rows.iloc[:2].assign(dimension="rare", id=["1", "2"], llm="GPT4")
    table = acceptance(pd.concat([rows, rare]), n_resamples=20)
    axes = dimension_acceptance(table, "Dimensions").axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    assert sum(len(line.get_xdata()) for line in hollow) == 1


def test_models_stand_beside_the_ceiling(tables):
    figure = noise_ceiling(
        *tables,
        "Ceiling",
        names={"oracle": "The oracle", "memory": "By heart"},
        in_sample=["memory"],
    )
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
    assert len(titles) == 4
    assert titles[0].startswith("All posts, n = ")
    first = figure.axes[0]
    assert ticks(first) == ["Nothing", "All proposals", "The oracle", "By heart*"]
    by_heart = points(first, BLUE)
    assert (by_heart == [[1.0, 3.0]]).all()  # its own truth: Jaccard 1
    assert ticks(figure.axes[1])[-1] == "Best set for both coders"


def test_the_files_are_the_same_each_time(tables, tmp_path):
    first, again = (
        [path.read_bytes() for path in save_figure(noise_ceiling(*tables, "C"), tmp_path, name)]
        for name in "ab"
    )
    assert first == again


def test_tables_without_what_is_needed_are_refused(coded, accepted, tables):
    with pytest.raises(FigureError, match=r"lacks column\(s\) share"):
        dimension_acceptance(accepted.drop(columns="share"), "x")
    with pytest.raises(FigureError, match="no rows to draw"):
        dimension_acceptance(accepted[accepted["grouping"] == "coder"], "x")
    with pytest.raises(FigureError, match="no look for proposals of GPT5"):
        dimension_acceptance(accepted.replace({"llm": {"GPT4": "GPT5"}}), "x")
    with pytest.raises(FigureError, match="noise ceiling, r2: no rows"):
        noise_ceiling(*tables, "x", metric="r2")


def test_the_archive_s_dimensions_fit(upstream_folder):
    task = load_task("flourishing")
    archive = open_archive(task, upstream_folder)
    if "train" not in archive.codings:
        pytest.skip("the archive's codings of the training posts are not here")
    figure = dimension_acceptance(acceptance(archive.codings["train"], n_resamples=20), "All")
    axes = figure.axes[0]
    assert len(ticks(axes)) == len(task.labels)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    boxes.sort(key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 for a, b in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0

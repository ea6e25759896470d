"""Figures of the training-size study: what is drawn, and that it can be read."""

import hashlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgba

from helpers import figures
from helpers.figures.study_rows import kind_looks
from helpers.figures.style import BLUE

LONG = "A model whose name goes on and on, far beyond what a margin has room for"
NAMES = {"m": LONG, "embeddings-lr": "Sentence embeddings + LR", "tfidf-lr": "TF-IDF + LR"}
KINDS = ("noise-30", "gold", "noise-10", "majority", "verified", "noise-20", "experts")
SIZES = (25, 60, 150, 360, 860)
LEVELS = pd.DataFrame(
    [
        ("zero-shot crowd", 0.61, 0.56, 0.66),
        ("majority baseline", 0.08, 0.06, 0.11),
        ("ChatGPT-4, archived answers", 0.66, np.nan, np.nan),
    ],
    columns=["name", "value", "ci_low", "ci_high"],
)
CROWDED = pd.DataFrame(
    [(f"{LONG} {i}", 0.6 + 0.004 * i, 0.55, 0.65) for i in range(7)], columns=LEVELS.columns
)


def score_table(models=("m", "embeddings-lr", "tfidf-lr"), sizes=SIZES, kinds=("gold",)):
    rows = []
    for place, model in enumerate(models):
        for drop, kind in enumerate(kinds):
            for n in sizes:
                value = 0.85 - 0.05 * place - 0.02 * drop - 2 * n**-0.5
                row = ("cap", model, kind, n, "accuracy", value, value - 0.04, value + 0.04)
                rows.append((*row, 0.02, 3 + place, 424, 1 - 2 / n))
    columns = "task model labels n_train metric value ci_low ci_high sd_seeds n_seeds n answered"
    return pd.DataFrame(rows, columns=columns.split())


def point_table(scores, seeds=3):
    rng = np.random.default_rng(0)
    tables = [
        scores.assign(seed=seed, value=scores["value"] + rng.normal(0, 0.02, len(scores)))
        for seed in range(seeds)
    ]
    return pd.concat(tables)[["task", "model", "labels", "n_train", "seed", "metric", "value"]]


def fit_table(scores, furthest=3440):
    tables = []
    for (model, kind), rows in scores.groupby(["model", "labels"], sort=False):
        n = np.geomspace(25, furthest, 50)
        value = rows["value"].iloc[0] + 2 * 25**-0.5 - 2 * n**-0.5
        row = {"task": "cap", "model": model, "labels": kind, "n_train": n, "value": value}
        tables.append(pd.DataFrame(row))
    return pd.concat(tables, ignore_index=True)


def answer_table(models, share_rows=True):
    scores = score_table(models)
    given = scores.assign(metric="accuracy_given_valid", value=scores["value"] + 0.05)
    share = scores.assign(metric="valid", value=1 - 2 / scores["n_train"])
    limits = {"ci_low": share["value"] - 0.03, "ci_high": np.minimum(share["value"] + 0.03, 1)}
    return pd.concat([scores, given, *([share.assign(**limits)] if share_rows else [])])


def draw_all():
    scores, kinds = score_table(), score_table(["m"], kinds=KINDS)
    bare = scores.assign(ci_low=np.nan, ci_high=np.nan).drop(columns=["n", "n_seeds"])
    close = score_table(["m"], (25, 50, 100, 200, 400, 800, 1000, 1272))
    head = ("cap", "accuracy", "Title")
    common = {"names": NAMES, "embedded": True}
    curves, quality = figures.learning_curves, figures.label_quality
    one = score_table(["m"], (100,))
    return {
        "curves": curves(scores, point_table(scores), *head, bands=LEVELS, **common),
        "fits": curves(
            scores, point_table(scores), *head, bands=LEVELS, fits=fit_table(scores), **common
        ),
        "crowded": curves(scores, None, *head, bands=CROWDED, **common),
        "bare": curves(bare, None, *head, embedded=True),
        "one model": curves(score_table(["m"]), None, *head, **common),
        "one size": curves(one, point_table(one), *head, bands=LEVELS, **common),
        "one size each": curves(score_table(sizes=(100,)), None, *head, **common),
        "close sizes": curves(close, None, *head, **common),
        "quality": quality(
            kinds, *head, model="m", points=point_table(kinds), bands=LEVELS, embedded=True
        ),
        "answers": figures.valid_answers(answer_table(["m", "tfidf-lr"]), *head, **common),
        "answers of one": figures.valid_answers(answer_table(["m"], False), *head, **common),
    }


@pytest.fixture(scope="module")
def drawn():
    return draw_all()


EXHIBITS = (
    *("curves", "fits", "crowded", "bare", "one model", "one size", "one size each"),
    *("close sizes", "quality", "answers", "answers of one"),
)


def visible_texts(figure):
    """Every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [figure._suptitle, *(t for legend in figure.legends for t in legend.get_texts())]
    for axes in figure.axes:
        texts += [axes._left_title, *axes.texts, axes.xaxis.label, axes.yaxis.label]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = (t for t in axis.get_major_ticks() if limits[0] <= t.get_loc() <= limits[1])
            texts += [tick.label1 for tick in ticks]
    texts = [text for text in texts if text.get_visible() and text.get_text().strip()]
    # Of an annotation, the words without its line.
    return [(t.get_text(), t, plt.Text.get_window_extent(t, canvas.get_renderer())) for t in texts]


def words_of(axes):
    return [text.get_text() for text in axes.texts]


def curve_of(axes, colour):
    """Solid line of a colour: its data."""
    found = [x for x in axes.lines if to_hex(x.get_color()) == to_hex(colour)]
    return next(x for x in found if x.get_linestyle() == "-").get_xydata()


@pytest.mark.parametrize("name", EXHIBITS)
def test_every_text_can_be_read(drawn, name):
    frame, texts = drawn[name].bbox, visible_texts(drawn[name])
    assert len(texts) > 5
    for i, (first, text, a) in enumerate(texts):
        assert text.get_fontsize() >= 8
        inside = a.x0 >= -1 and a.y0 >= -1 and a.x1 <= frame.x1 + 1 and a.y1 <= frame.y1 + 1
        assert inside, f"{first!r} leaves the figure"
        for second, _, b in texts[i + 1 :]:
            width = min(a.x1, b.x1) - max(a.x0, b.x0)
            height = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert width <= 1 or height <= 1, f"{first!r} overlaps {second!r}"


@pytest.mark.parametrize("name", EXHIBITS)
def test_lines_to_names_do_not_run_through_names(drawn, name):
    figure = drawn[name]
    boxes = {words: box for words, text, box in visible_texts(figure) if text.axes}
    for axes in figure.axes:
        for label in (text for text in axes.texts if text.get_text() in boxes):
            if (arrow := getattr(label, "arrow_patch", None)) is None:
                continue
            ends = arrow.get_path().get_extents(arrow.get_transform())
            assert ends.x1 <= boxes[label.get_text()].x0 + 6


@pytest.mark.parametrize("name", EXHIBITS)
def test_the_panel_keeps_most_of_the_figure(drawn, name):
    figure = drawn[name]
    FigureCanvasAgg(figure).draw()
    assert sum(axes.get_position().width for axes in figure.axes) > 0.6
    assert all(axes.get_position().height > 0.5 for axes in figure.axes)


def test_curves_show_the_table(drawn):
    axes = drawn["curves"].axes[0]
    rows = score_table(["m"])
    np.testing.assert_allclose(curve_of(axes, BLUE), rows[["n_train", "value"]])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["25", "60", "150", "360", "860"]
    assert axes.get_title(loc="left") == "424 test texts, 3 to 5 seeds per size"
    assert {"majority baseline 0.08", "zero-shot crowd 0.61", "TF-IDF + LR 0.68"} <= set(
        words_of(axes)
    )
    low, high = axes.get_ylim()
    assert low < 0.06
    assert high > rows["ci_high"].max()
    horizontal = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert horizontal == [0.61, 0.08, 0.66]


def test_every_seed_is_a_point_beside_its_mean(drawn):
    axes = drawn["curves"].axes[0]
    clouds = [c.get_offsets() for c in axes.collections if len(c.get_offsets()) == 3 * len(SIZES)]
    assert len(clouds) == 3
    values = point_table(score_table())["value"].to_numpy()
    np.testing.assert_allclose(
        np.sort(np.concatenate([cloud[:, 1] for cloud in clouds])), np.sort(values)
    )
    places = [np.unique(np.round(cloud[:, 0], 6)) for cloud in clouds]
    for place in places:
        assert len(place) == len(SIZES)
        assert (np.abs(np.log(place / np.array(SIZES))) < 0.25).all()
        assert (np.abs(np.log(place / np.array(SIZES))) > 0.01).all()
    assert (places[0] != places[1]).all()


def test_the_band_is_the_interval(drawn):
    axes = drawn["one model"].axes[0]
    band = axes.collections[0].get_paths()[0].vertices
    rows = score_table(["m"])
    assert band[:, 1].min() == pytest.approx(rows["ci_low"].min())
    assert band[:, 1].max() == pytest.approx(rows["ci_high"].max())
    assert len(drawn["bare"].axes[0].collections) == 0
    legend = [t.get_text() for t in drawn["bare"].legends[0].get_texts()]
    assert legend == ["mean over seeds"]


def test_fits_go_no_further_than_twice_the_largest_size(drawn):
    axes = drawn["fits"].axes[0]
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    assert len(dotted) == 3
    assert all(1500 < line.get_xdata().max() <= 1721 for line in dotted)
    assert axes.get_xlim()[1] == pytest.approx(1720)
    assert "extrapolated" in words_of(axes)
    assert "extrapolated" not in words_of(drawn["curves"].axes[0])


def test_one_size_each_stands_side_by_side(drawn):
    axes = drawn["one size each"].axes[0]
    middles = {line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("o", "s", "^")}
    assert len(middles) == 3
    assert [t.get_text() for t in axes.get_xticklabels()] == ["100"]


def test_close_sizes_keep_their_points_and_lose_their_number(drawn):
    axes = drawn["close sizes"].axes[0]
    assert len(curve_of(axes, BLUE)) == 8
    labels = [t.get_text() for t in axes.get_xticklabels()]
    assert labels[-1] == "1,272"
    assert "1,000" not in labels


def test_kinds_of_labels_are_ordered_and_noise_grows_darker(drawn):
    looks = kind_looks(KINDS)
    noise = ["noise-10", "noise-20", "noise-30"]
    assert list(looks) == ["gold", "verified", "majority", "experts", *noise]
    lightness = [sum(to_rgba(looks[kind][0])[:3]) for kind in noise]
    assert lightness == sorted(lightness, reverse=True)
    assert len(set(looks.values())) == len(KINDS)
    words = " ".join(words_of(drawn["quality"].axes[0]))
    for name in ("gold labels", "crowd, verified by coders", "gold, 20% random", "experts"):
        assert name in words


def test_colours_are_the_same_in_the_figures_of_all_tasks():
    other = score_table(["tfidf-lr", "m"]).assign(task="dataverse")
    both = pd.concat([score_table(["m", "tfidf-lr"]), other])
    found = figures.learning_curves(both, None, "dataverse", "accuracy", "Title")
    expected = other[other["model"] == "m"][["n_train", "value"]]
    np.testing.assert_allclose(curve_of(found.axes[0], BLUE), expected)


def test_answers_show_the_share_and_both_scores(drawn):
    left, right = drawn["answers"].axes
    assert left.get_title(loc="left").startswith("Share of valid answers\n424 test texts")
    assert words_of(right) == ["valid 0.83", "all 0.78", "valid 0.78", "all 0.73"]
    assert {line.get_linestyle() for line in right.lines} == {"-", "--"}
    # Without intervals of the share, the column of the table is drawn.
    alone = drawn["answers of one"].axes[0]
    np.testing.assert_allclose(curve_of(alone, BLUE)[:, 1], 1 - 2 / np.array(SIZES))
    assert len(alone.collections) == 0


def test_titles_tell_whose_numbers_these_are(drawn):
    assert all(figure.get_suptitle() == "Title (embedded texts)" for figure in drawn.values())
    plain = figures.learning_curves(score_table(), None, "cap", "accuracy", "Title")
    assert plain.get_suptitle() == "Title"


def test_figures_are_the_same_bytes_each_time_and_stay_off_the_list(tmp_path):
    def digests(folder, exhibits):
        figures.save_figure(exhibits["fits"], tmp_path / folder, "fits")
        files = sorted((tmp_path / folder).iterdir())
        return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    first = digests("a", draw_all())
    with plt.style.context("dark_background"):
        assert digests("b", draw_all()) == first
    assert plt.get_fignums() == []


def test_missing_numbers_are_named():
    scores = score_table()
    with pytest.raises(figures.FigureError, match="no 'jaccard' of task 'cap', labels 'gold'"):
        figures.learning_curves(scores, None, "cap", "jaccard", "Title")
    with pytest.raises(figures.FigureError, match="no 'accuracy' of task 'cap', model 'gpt'"):
        figures.label_quality(scores, "cap", "accuracy", "Title", model="gpt")
    with pytest.raises(figures.FigureError, match=r"lacks column\(s\) ci_low"):
        figures.learning_curves(scores.drop(columns="ci_low"), None, "cap", "accuracy", "Title")
    with pytest.raises(figures.FigureError, match="horizontal lines"):
        figures.learning_curves(
            scores, None, "cap", "accuracy", "Title", bands=LEVELS.drop(columns="name")
        )
    with pytest.raises(figures.FigureError, match="no 'accuracy_given_valid'"):
        figures.valid_answers(scores, "cap", "accuracy", "Title")
    empty = pd.DataFrame()
    drawn = figures.learning_curves(scores, empty, "cap", "accuracy", "Title", fits=empty)
    assert len(drawn.axes) == 1

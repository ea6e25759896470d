"""Figures: nothing clipped, nothing overlapping, the right titles, the same bytes twice."""

import hashlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers import figures
from helpers.figures.comparison import readable_size
from helpers.figures.style import PUBLISHED_BACKGROUND, spread
from helpers.published import published_flourishing, published_headlines
from helpers.tasks import load_task

LONG = "A label whose name goes on and on, far beyond what a margin has room for"
CAP = load_task("cap")


def metrics_table():
    rows = []
    for split, lift in (("train", 0.3), ("test", 0.0)):
        for model, size, tuned, value in [
            ("m2", 15_000_000, False, 0.05),
            ("m6", 22_000_000, False, 0.06),
            ("m2-ft", 15_000_000, True, 0.5),
            ("m6-ft", 22_000_000, True, 0.6),
            ("majority", None, False, 0.08),
            ("tfidf-lr", None, False, 0.40),
            ("embeddings-lr", None, False, 0.61),
            ("zero-shot", None, False, 0.42),
        ]:
            for metric, score in (
                ("accuracy", value + lift),
                ("hamming_loss", 0.99 - value - lift),
            ):
                rows.append(
                    (
                        "cap",
                        split,
                        model,
                        size,
                        tuned,
                        metric,
                        score,
                        score - 0.03,
                        score + 0.03,
                        300,
                        300,
                    )
                )
    columns = "task split model parameters fine_tuned metric value ci_low ci_high n n_answered"
    return pd.DataFrame(rows, columns=columns.split()).astype({"parameters": "Int64"})


def class_table():
    rng, rows = np.random.default_rng(0), []
    for model in ("m6-ft", "embeddings-lr"):
        for metric in ("balanced_accuracy", "f1", "sensitivity", "specificity"):
            for support, label in enumerate(CAP.labels):
                value = np.nan if (metric, label) == ("f1", "12") else rng.random()
                row = ("cap", "test", model, label, CAP.label_names[label], metric, value)
                rows.append((*row, value - 0.1, value + 0.1, support))
    columns = "task split model label name metric value ci_low ci_high support"
    return pd.DataFrame(rows, columns=columns.split())


def count_table(levels=()):
    names = [CAP.label_names[label] for label in CAP.labels] + [LONG]
    table = pd.DataFrame({"name": names, "n": np.arange(len(names)) * len(levels or "n")})
    return table.assign(**{level: np.arange(len(names)) for level in levels})


def draw_all():
    names = {"embeddings-lr": "Sentence embeddings + LR", "m6-ft": LONG}
    levels = ("low", "medium", "high")
    dimensions = list(load_task("flourishing").labels)
    big = np.random.default_rng(0).integers(0, 9, (46, 46))
    losses = pd.DataFrame(
        [
            (t, f"model {m}", e, 2 / e, 1.0)
            for t, m in ("a1", "a2", "b1", "b2")
            for e in range(1, 9)
        ],
        columns=["task", "model", "epoch", "loss", "eval_loss"],
    )
    lengths = pd.DataFrame({"split": ["train"] * 80 + ["test"] * 40, "words": np.arange(120)})
    heat = pd.DataFrame(big, index=dimensions, columns=dimensions)
    small = heat.iloc[:14, :14]
    metrics, classes = metrics_table(), class_table()
    pair = ["m6-ft", "embeddings-lr"]
    return {
        "frequencies": figures.label_frequencies(count_table(), "Labels", embedded=True),
        "levels": figures.label_frequencies(
            count_table(levels), "Labels", levels=levels, embedded=True
        ),
        "lengths": figures.text_lengths(lengths, "Lengths", embedded=True),
        "heat46": figures.cooccurrence(heat, "Pairs", embedded=True),
        "heat14": figures.cooccurrence(small, "Pairs", embedded=True),
        "losses": figures.training_loss(losses, "Losses", embedded=True),
        "size": figures.size_axis(metrics, "cap", "accuracy", "Size", names=names, embedded=True),
        "classes": figures.class_rates(classes, "cap", pair, "Classes", names=names, embedded=True),
        "forest": figures.forest(metrics, "cap", "accuracy", "Forest", names=names, embedded=True),
        "published": figures.published_panel(published_flourishing()),
        "headlines": figures.published_headline_panel(published_headlines()),
    }


@pytest.fixture(scope="module")
def drawn():
    return draw_all()


EXHIBITS = (
    *("frequencies", "levels", "lengths", "heat46", "heat14", "losses"),
    *("size", "classes", "forest", "published", "headlines"),
)


def texts_of(axes):
    """Titles, annotations, axis labels, and the tick labels within the axis limits."""
    yield from (axes.title, axes._left_title, axes._right_title, *axes.texts)
    for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        yield axis.label
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if min(limits) <= tick.get_loc() <= max(limits):
                yield tick.label1


def visible_texts(figure):
    """Every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [figure._suptitle, *figure.texts]
    for legend in [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]:
        texts += [*legend.get_texts(), legend.get_title()]
    for axes in figure.axes:
        texts += texts_of(axes) if axes.get_visible() else []
    unique = {id(text): text for text in texts if text.get_visible() and text.get_text().strip()}
    return [(t.get_text(), t, t.get_window_extent(canvas.get_renderer())) for t in unique.values()]


@pytest.mark.parametrize("name", EXHIBITS)
def test_no_text_is_clipped_and_none_is_tiny(drawn, name):
    figure = drawn[name]
    frame = figure.bbox
    found = visible_texts(figure)
    assert len(found) > 5
    for words, text, box in found:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= frame.x1 + 1 and box.y1 <= frame.y1 + 1
        assert inside, f"{words!r} leaves the figure"
        assert text.get_fontsize() >= 6.5


@pytest.mark.parametrize("name", ["size", "forest", "headlines", "frequencies", "classes"])
def test_labels_do_not_overlap(drawn, name):
    texts = visible_texts(drawn[name])
    for i, (first, _, a) in enumerate(texts):
        for second, _, b in texts[i + 1 :]:
            width = min(a.x1, b.x1) - max(a.x0, b.x0)
            height = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert width <= 1 or height <= 1, f"{first!r} overlaps {second!r}"


@pytest.mark.parametrize("name", EXHIBITS)
def test_titles_tell_whose_numbers_these_are(drawn, name):
    figure = drawn[name]
    text = figure.get_suptitle()
    if name in ("published", "headlines"):
        assert text.startswith("Published values (Carammia, Iacus & Porro 2024)")
        wanted = plt.matplotlib.colors.to_rgba(PUBLISHED_BACKGROUND)
        assert figure.get_facecolor() == wanted
        assert all(axes.get_facecolor() == wanted for axes in figure.axes)
    else:
        assert text.endswith("(embedded texts)")
        assert figure.get_facecolor() == (1, 1, 1, 1)


def test_real_texts_are_not_called_embedded():
    figure = figures.forest(metrics_table(), "cap", "accuracy", "Forest")
    assert figure.get_suptitle() == "Forest"


def test_saved_figures_are_byte_identical(tmp_path):
    def digests(folder):
        exhibits = draw_all()
        for name in ("size", "heat14", "classes"):
            figures.save_figure(exhibits[name], tmp_path / folder, name)
        files = sorted((tmp_path / folder).iterdir())
        return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}

    first = digests("a")
    assert len(first) == 6
    with plt.style.context("dark_background"):
        assert digests("b") == first
    assert b"<dc:date>" not in (tmp_path / "a" / "size.svg").read_bytes()


def test_figures_stay_off_the_list_of_open_ones(drawn):
    assert drawn
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("metric", "best"), [("accuracy", "embeddings-lr"), ("hamming_loss", "embeddings-lr")]
)
def test_forest_has_the_best_on_top(metric, best):
    figure = figures.forest(metrics_table(), "cap", metric, "Forest")
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels[-1] == best
    assert labels[0] == "m2"


def test_size_axis_shows_every_number(drawn):
    axes = drawn["size"].axes
    assert [a.get_title(loc="left") for a in axes] == ["train (300 texts)", "test (300 texts)"]
    names = " ".join(text.get_text() for text in axes[1].texts)
    for name in (
        "majority 0.08",
        "tfidf-lr 0.40",
        "zero-shot 0.42",
        "Sentence embeddings + LR 0.61",
    ):
        assert name in names
    assert {text.get_text() for text in axes[1].get_xticklabels()} == {"15M", "22M"}


def test_undefined_rates_are_marked(drawn):
    panel = {axes.get_title(loc="left"): axes for axes in drawn["classes"].axes}["F1"]
    crosses = [line for line in panel.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert len(crosses) == 2


def test_missing_numbers_are_named():
    table = metrics_table()
    empty = pd.DataFrame(columns=["task", "model", "epoch", "loss", "eval_loss"])
    with pytest.raises(figures.FigureError, match="no 'jaccard' of task 'cap'"):
        figures.forest(table, "cap", "jaccard", "Forest")
    with pytest.raises(figures.FigureError, match=r"lacks column\(s\) n"):
        figures.size_axis(table.drop(columns="n"), "cap", "accuracy", "Size")
    with pytest.raises(figures.FigureError, match="no rates per class of gpt"):
        figures.class_rates(class_table(), "cap", ["gpt"], "Classes")
    with pytest.raises(figures.FigureError, match="no rows to draw"):
        figures.training_loss(empty, "Losses")


@given(st.lists(st.floats(0, 1), max_size=15), st.floats(0.01, 0.2))
def test_spread_keeps_order_distance_and_range(positions, gap):
    placed = spread(positions, gap, 0, 1)
    order = np.argsort(positions, kind="stable")
    steps = np.diff(np.array(placed)[order])
    wanted = min(gap, 1 / max(len(positions) - 1, 1))
    assert (steps >= wanted - 1e-9).all()
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in placed)


def test_spread_leaves_distant_labels_where_they_are():
    assert spread([0.9, 0.1, 0.5], 0.1, 0, 1) == pytest.approx([0.9, 0.1, 0.5])
    assert spread([0.5, 0.5], 0.2, 0, 1) == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize(
    ("size", "text"), [(22_565_376, "22.6M"), (7e9, "7B"), (1.76e12, "1.76T"), (950, "950")]
)
def test_sizes_in_words(size, text):
    assert readable_size(size) == text


def test_losses_without_validation_are_drawn_alone():
    history = pd.DataFrame(
        {"task": "cap", "model": "m", "epoch": [1, 2], "loss": [2.0, 1.0], "eval_loss": np.nan}
    )
    axes = figures.training_loss(history, "Losses").axes[0]
    assert axes.get_title(loc="left") == "m"
    assert [len(line.get_xdata()) for line in axes.lines] == [2, 0]

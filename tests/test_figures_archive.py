"""Figures of the published results: what is drawn, that it is right, and that it can be read."""

from functools import cache
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from helpers.audit.corrected.scores import corrected_tables
from helpers.figures.claims import CLAIM_LOOKS, VALUE_LOOKS, certificate_bars, claims_table
from helpers.figures.placing import MARKER, Label, place_labels
from helpers.figures.published_series import STATISTICS, dark
from helpers.figures.published_sizes import NOT_RUN, published_and_recomputed
from helpers.figures.published_topics import per_dimension_swap, topics
from helpers.figures.style import BLUE, GREEN, PUBLISHED_BACKGROUND, FigureError
from helpers.published.answers import TASK
from helpers.published.archive import open_archive
from helpers.published.cap import cap_corrected, cap_runs
from helpers.published.panel import published_flourishing, published_headlines
from helpers.tasks import load_task

SEVEN = (
    *("classified-chatgpt4", "classified-L2-7B-FT", "classified-L2-13B-FT"),
    *("classified-L2-70B-FT", "classified-L3-70B-FT", "classified-L31-405B"),
    "classified-L32-1B-FT",
)
METRICS = [s.metric for s in STATISTICS.values()] + [s.drawn_as for s in STATISTICS.values()]
COLUMN = {s.drawn_as: s.drawn for s in STATISTICS.values()} | {
    "jaccard": "jac",
    "intensity_accuracy": "accI",
}


def scores(names=SEVEN, splits=("train",), shift=0.01):
    """Recomputed scores that lie `shift` beside the published ones, with baselines."""
    rows = []
    published = published_flourishing()
    for split in splits:
        part = published[(published["split"] == split) & published["fname"].isin(names)]
        for metric in dict.fromkeys(METRICS):
            values = list(zip(part["fname"], part[COLUMN[metric]] + shift, strict=True))
            nothing = {"hamming_loss": 0.08, "jaccard": 0.0, "intensity_accuracy": np.nan}
            values += [
                ("predict-nothing", nothing.get(metric, 0.92)),
                ("majority", {"hamming_loss": 0.091, "jaccard": 0.16}.get(metric, 0.909)),
            ]
            for fname, value in values:
                facts = part[part["fname"] == fname]
                size = facts["parameters_billion"].iloc[0] if len(facts) else np.nan
                tuned = bool(len(facts) and facts["fine_tuned"].iloc[0])
                row = (fname, fname, size, tuned, tuned, split, "same", metric, value)
                rows.append((*row, value - 0.004, value + 0.006, 2404, 2300))
    columns = "fname model parameters_billion fine_tuned in_sample split texts metric value"
    table = pd.DataFrame(rows, columns=[*columns.split(), "ci_low", "ci_high", "n", "n_answered"])
    return pd.concat([table, table.assign(texts="published", value=0.5)], ignore_index=True)


def canvas(figure: Figure) -> Figure:
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    return figure


def written(axes):
    """Texts of an axes, titles aside."""
    return [text for text in axes.texts if text.get_text().strip()]


def labels_of(axes):
    return {text.get_text(): text for text in written(axes)}


def boxes(texts):
    # Half a pixel less on each side: glyph boxes are rounded up.
    return [(t.get_text(), t.get_window_extent().padded(-0.5)) for t in texts]


def clashes(figure):
    """Pairs of texts of the figure that lie on each other."""
    texts = [*figure.texts, figure._suptitle, figure._supxlabel]
    for axes in figure.axes:
        titles = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label]
        texts += [*written(axes), *titles]
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [tick.label1 for tick in shown if tick.label1.get_visible()]
    every = {id(t): t for t in texts if t is not None and t.get_text().strip()}
    found = boxes(every.values())
    return [(a, b) for (a, x), (b, y) in combinations(found, 2) if x.overlaps(y)]


def outside(figure):
    """Texts that the edge of the figure cuts."""
    texts = [*figure.texts, *(text for axes in figure.axes for text in written(axes))]
    page = figure.bbox.padded(1)
    found = [(text, box) for text, box in boxes(texts) if text.strip()]
    return [t for t, box in found if not (page.contains(*box.min) and page.contains(*box.max))]


def covered_markers(axes):
    """Labels that lie on a marker of a series."""
    points = [
        axes.transData.transform(line.get_xydata())
        for line in axes.lines
        if line.get_marker() in tuple("os^D*")
    ]
    points = np.concatenate(points) if points else np.empty((0, 2))
    return [t for t, box in boxes(written(axes)) if any(box.contains(*p) for p in points)]


@cache
def drawn(statistic, names=None, splits=("train",)):
    """The figure of a statistic; without names the archive is absent."""
    corrected = None if names is None else scores(names, splits)
    return published_and_recomputed(published_flourishing(), corrected, statistic)


def series_of(axes):
    return {box.get_label(): box for box in axes.containers if hasattr(box, "has_yerr")}


def data_of(container):
    return np.column_stack(container.lines[0].get_data()).astype(float)


@pytest.fixture(scope="module")
def published():
    return published_flourishing()


@pytest.fixture(scope="module")
def real_scores(upstream_folder):
    archive = open_archive(load_task(TASK), upstream_folder)
    return corrected_tables(archive, "train", n_resamples=20).scores


@pytest.mark.parametrize("statistic", STATISTICS)
def test_published_panels_draw_the_18_published_values(published, statistic):
    figure = drawn(statistic)
    for axes, split in zip(figure.axes[::2], ("train", "test"), strict=True):
        assert to_hex(axes.get_facecolor()) == PUBLISHED_BACKGROUND.lower()
        points = np.concatenate([data_of(box) for box in series_of(axes).values()])
        wanted = published.loc[published["split"] == split, ["parameters_billion", statistic]]
        assert sorted(map(tuple, points)) == sorted(map(tuple, wanted.to_numpy(float)))
        assert ("in-sample" in axes.get_title(loc="left")) == (split == "train")
        assert set(series_of(axes)) <= set(labels_of(axes))
        assert axes.get_xscale() == "log"


def test_base_is_hollow_and_dotted_fine_tuned_filled_and_solid():
    series = series_of(drawn("accD").axes[0])
    base, tuned = series["Llama 2"].lines[0], series["Llama 2 FT"].lines[0]
    assert base.get_linestyle() == ":" and tuned.get_linestyle() == "-"
    assert to_hex(base.get_markerfacecolor()) == PUBLISHED_BACKGROUND.lower()
    assert tuned.get_markerfacecolor() == tuned.get_color() == base.get_color() == BLUE
    markers = {name.removesuffix(" FT"): box.lines[0].get_marker() for name, box in series.items()}
    assert len(set(markers.values())) == 5


def test_the_size_of_chatgpt4_is_marked_as_a_guess():
    figure = drawn("accD")
    assert "8×220B*" in [tick.get_text() for tick in figure.axes[2].get_xticklabels()]
    assert "* A guess" in figure._supxlabel.get_text().replace("\n", " ")
    assert series_of(figure.axes[0])["ChatGPT-4"].lines[0].get_marker() == "*"


def test_recomputed_panel_draws_values_and_intervals_of_the_same_posts(published):
    table = scores()
    axes = published_and_recomputed(published, table, "accD").axes[1]
    rows = table[(table["texts"] == "same") & (table["metric"] == "dimension_accuracy")]
    rows = rows.set_index("fname")
    box = series_of(axes)["Llama 2 FT"]
    names = [f"classified-L2-{size}-FT" for size in ("7B", "13B", "70B")]
    np.testing.assert_allclose(data_of(box)[:, 1], rows.loc[names, "value"])
    (bars,) = box.lines[2]
    ends = np.array([segment[:, 1] for segment in bars.get_segments()], dtype=float)
    np.testing.assert_allclose(ends, rows.loc[names, ["ci_low", "ci_high"]].to_numpy())
    assert sum(len(data_of(box)) for box in series_of(axes).values()) == 7
    note = " ".join(labels_of(axes))
    assert "7 of 18 models" in note and "2,404 posts" in note and "95% intervals" in note


def test_intervals_over_coders_are_thinner_lines(published):
    table = scores()
    table = table.assign(ci_low_coders=table["value"] - 0.1, ci_high_coders=table["value"] + 0.05)
    axes = published_and_recomputed(published, table, "jaccard").axes[1]
    lines = [bars for bars in axes.collections if bars.get_gid() == "coders"]
    ends = np.array([segment[:, 1] for bars in lines for segment in bars.get_segments()])
    assert len(ends) == 7
    np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 0.15)


def test_pale_marks_show_all_published_values_beside_the_recomputed(published):
    def ghosts(statistic, place=1):
        axes = drawn(statistic, SEVEN).axes[place]
        marks = [line for line in axes.lines if line.get_gid() == "ghost"]
        return sorted(float(line.get_ydata()[0]) for line in marks)

    train = published[published["split"] == "train"]
    assert ghosts("ham") == pytest.approx(sorted(train["ham"]))
    assert ghosts("jac2") == pytest.approx(sorted(train["jac"])), "the same statistic, not jac2"
    assert ghosts("accI") == [], "the authors have no accuracy given the dimension"


def test_baselines_are_labelled_lines_in_both_columns():
    figure = drawn("jac2", SEVEN)
    wanted = {
        0: {"predict-nothing": 0.92, "majority": 0.909},
        1: {"predict-nothing": 0.0, "majority": 0.16},
    }
    for place, values in wanted.items():
        axes = figure.axes[place]
        found = {line.get_gid(): line.get_ydata()[0] for line in axes.lines if line.get_gid()}
        assert {name: found[name] for name in values} == values
        for name, value in values.items():
            assert f"{name.replace('-', ' ')} {value:.3f}" in labels_of(axes)
    assert "baselines recomputed on 2,404" in " ".join(labels_of(figure.axes[0]))
    assert "baselines need verified.csv" in " ".join(labels_of(figure.axes[2]))


def test_a_baseline_without_a_value_is_explained():
    figure = drawn("intensity_accuracy", SEVEN)
    assert not [line for line in figure.axes[1].lines if line.get_gid() == "predict-nothing"]
    note = figure._supxlabel.get_text().replace("\n", " ")
    assert "A baseline without a line has no value" in note
    other = drawn("accD", SEVEN)
    assert "without a line" not in other._supxlabel.get_text().replace("\n", " ")


def test_what_is_missing_is_said_in_the_panel(published):
    absent = drawn("accD")
    assert [NOT_RUN in labels_of(axes) for axes in absent.axes] == [False, True, False, True]
    some = drawn("accD", SEVEN)
    assert any(
        "flourishing/verified.csv is not in the folder" in t for t in labels_of(some.axes[3])
    )
    assert not some.axes[3].lines and not some.axes[3].containers
    full = drawn("accD", tuple(published["fname"].unique()), ("train", "test"))
    assert not any("not in the folder" in t for t in labels_of(full.axes[3]))
    assert len(series_of(full.axes[3])) == 8


def test_the_jaccard_index_of_the_authors_table_stands_in(published):
    figure = drawn("jac2", SEVEN)
    axes = figure.axes[3]
    values = np.concatenate([data_of(box)[:, 1] for box in series_of(axes).values()])
    assert sorted(values) == sorted(published.loc[published["split"] == "test", "jac"])
    assert to_hex(axes.get_facecolor()) == PUBLISHED_BACKGROUND.lower()
    assert "Authors’ table" in axes.get_title(loc="left")
    assert any("verified.csv is not in the folder" in text for text in labels_of(axes))


def test_all_panels_of_a_figure_have_one_scale():
    for names in (None, SEVEN):
        limits = {axes.get_ylim() for axes in drawn("jac2", names).axes}
        assert len(limits) == 1


def check_readable(figure):
    assert clashes(figure) == []
    assert outside(figure) == []
    assert [hit for axes in figure.axes for hit in covered_markers(axes)] == []


@pytest.mark.parametrize("statistic", STATISTICS)
def test_no_text_lies_on_another_or_on_a_marker(statistic):
    check_readable(drawn(statistic))
    check_readable(drawn(statistic, SEVEN))


def test_no_text_lies_on_another_once_the_whole_archive_is_there(published):
    names = tuple(published["fname"].unique())
    check_readable(drawn("accD", names, ("train", "test")))
    check_readable(drawn("jac2", names, ("train", "test")))


@pytest.mark.parametrize("statistic", ["accD", "jac2"])
def test_no_text_lies_on_another_in_the_archive(published, real_scores, statistic):
    figure = published_and_recomputed(published, real_scores, statistic)
    assert {"ChatGPT-4", "Llama 2 FT", "Llama 3.1"} <= set(series_of(figure.axes[1]))
    check_readable(figure)


def test_bad_tables_are_refused_with_a_reason(published):
    table = scores()
    for bad, statistic, reason in (
        (table, "accuracy", "no figure of 'accuracy'"),
        (table.drop(columns="ci_low"), "accD", r"lacks column\(s\) ci_low"),
        (table[table["texts"] == "published"], "accD", "same posts: no rows"),
        (table.replace({"fname": {"classified-chatgpt4": "gpt5"}}), "accD", "gpt5 not among"),
    ):
        with pytest.raises(FigureError, match=reason):
            published_and_recomputed(published, bad, statistic)
    for column in ("ntext", "ham", "family"):
        with pytest.raises(FigureError, match=rf"published values.*{column}"):
            published_and_recomputed(published.drop(columns=column), table, "ham")
    with pytest.raises(FigureError, match="unknown family Mistral"):
        other = published.replace({"family": {"Llama 3": "Mistral"}})
        published_and_recomputed(other, None, "ham")


# --- topics


def rates(versions=("v2",)):
    rows = []
    topics_seen = [("1", "Macroeconomics", 12), ("12", "Law and Crime", 30), ("21", "Lands", 0)]
    for version in versions:
        for label, name, support in topics_seen:
            for metric in ("balanced_accuracy", "f1", "sensitivity", "specificity", "precision"):
                value = 0.5 + support / 100
                if support == 0 or (metric == "f1" and label == "12"):
                    value = np.nan
                row = (version, "test", "Llama 2 7B FT", label, name, metric, value)
                rows.append((*row, value - 0.1, value + 0.05, support, 42))
                base = (version, "test", "majority", label, name, metric, 0.25)
                rows.append((*base, 0.25, 0.25, support, 42))
    columns = "version split model label name metric value ci_low ci_high support n"
    return pd.DataFrame(rows, columns=columns.split())


def test_topics_are_sorted_by_support_and_nothing_is_dropped():
    figure = canvas(topics(rates(), published_headlines()))
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == ["Lands", "Macroeconomics", "Law and Crime"]
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text().isdigit()] == [
        *("0", "12", "30")
    ]
    undefined = [sum(t.get_text() == "undefined" for t in axes.texts) for axes in figure.axes]
    assert undefined == [1, 2, 1, 1], "F1 of one topic, every rate of one that never occurs"
    f1 = next(box for box in figure.axes[1].containers if box.get_label() == "rates")
    np.testing.assert_allclose(data_of(f1), [[0.62, 1]])
    (bars,) = f1.lines[2]
    np.testing.assert_allclose(bars.get_segments()[0][:, 0], [0.52, 0.67])
    ticks = next(line for line in figure.axes[2].lines if line.get_label() == "majority")
    assert list(ticks.get_xdata()) == [0.25] * 3
    assert "ChatGPT-4’s values by topic are not in the archive" in figure._supxlabel.get_text()
    assert clashes(figure) == []


def test_means_of_topics_come_from_the_published_table():
    means = published_headlines()
    means.loc[means["metric"] == "mean_balanced_accuracy", "value"] = [61.5, 70.25]
    figure = topics(rates(), means)
    lines = [
        [x.get_xdata()[0] for x in a.lines if x.get_gid() == "published mean"] for a in figure.axes
    ]
    assert sorted(lines[0]) == [0.615, 0.7025] and lines[1:] == [[], [], []]
    assert {"fine-tuned\n61.5", "ChatGPT-4\n70.25"} <= set(labels_of(figure.axes[0]))


def test_real_topics_can_be_read(upstream_folder):
    runs = cap_runs(load_task("cap"), upstream_folder)
    _, per_code = cap_corrected(load_task("cap"), runs, n_resamples=50)
    for split, n in (("test", 424), ("train", 1272)):
        figure = canvas(topics(per_code, published_headlines(), split=split))
        assert clashes(figure) == [] and outside(figure) == []
        assert ("in-sample" in figure._suptitle.get_text()) == (split == "train")
        assert f"{n:,}" in figure._supxlabel.get_text()


def test_topics_of_several_versions_or_none_are_refused():
    means = published_headlines()
    with pytest.raises(FigureError, match="one model and version"):
        topics(rates(("v1", "v2")), means)
    with pytest.raises(FigureError, match="train has none"):
        topics(rates(), means, split="train")
    with pytest.raises(FigureError, match="support"):
        topics(rates().drop(columns="support"), means)


# --- the swapped matrix


def swapped():
    rows = [
        ("a", True, "exact", 0.5, 0.5, 0.7, 0.7),
        ("a", True, "much too high", 0.9, 0.1, 0.9, 0.8),
        ("a", True, "too low", 0.3, 0.4, 0.2, 0.9),
        ("a", True, "undefined", np.nan, 0.4, np.nan, 0.9),
        ("b", False, "exact", 0.5, 0.5, 0.7, 0.7),
    ]
    columns = "fname in_sample dimension printed_prec precision printed_balAcc balanced_accuracy"
    return pd.DataFrame(rows, columns=columns.split())


def test_swap_counts_and_names_the_shifts():
    figure = canvas(per_dimension_swap(swapped(), {"a": "Model A", "b": "Model B"}, named=1))
    precision, other, balanced, _ = figure.axes
    assert "of 4 dimensions: 1 too high (▶), 1 too low (▲), 1 right (●), 1 undefined" in labels_of(
        precision
    )
    assert "of 1 dimensions: 1 right (●)" in labels_of(other)
    lines = {line.get_label(): line for line in precision.lines}
    assert lines["printed too high"].get_xydata().tolist() == [[0.9, 0.1]]
    assert lines["printed too low"].get_xydata().tolist() == [[0.3, 0.4]]
    assert "much too high" in labels_of(precision) and "too low" not in labels_of(precision)
    assert "too low" in labels_of(balanced)
    assert precision.get_title(loc="left").strip() == "Precision: Model A (in-sample)"
    assert other.get_title(loc="left").strip() == "Precision: Model B"
    assert clashes(figure) == []


def test_swap_refuses_what_it_does_not_have():
    with pytest.raises(FigureError, match="printed_prec"):
        per_dimension_swap(swapped().drop(columns="printed_prec"), {"a": "A"})
    with pytest.raises(FigureError, match="no rows of c"):
        per_dimension_swap(swapped(), {"a": "A", "c": "C"})
    pairs = [("printed_prec", "precision", "Precision")]
    bare = swapped().drop(columns=["printed_balAcc", "in_sample"])
    assert len(per_dimension_swap(bare, {"a": "A"}, pairs=pairs).axes) == 1


# --- claims and certificate


def claims():
    long = "A claim that goes on for long enough to need more than one line of the table, or two"
    rows = [
        (f"{long} {i}", verdict, f"0.{i}23 [0.1, 0.9] " * (i + 1), "")
        for i, verdict in enumerate(CLAIM_LOOKS)
    ]
    return pd.DataFrame(rows, columns=["claim", "verdict", "figure", "needs"])


def test_claims_show_every_word_and_a_symbol_for_each_verdict():
    table = claims()
    table.loc[3, ["figure", "needs"]] = [np.nan, "flourishing/verified.csv"]
    figure = canvas(claims_table(table))
    texts = [text.get_text() for text in written(figure.axes[0])]
    for look in CLAIM_LOOKS.values():
        assert texts.count(look.symbol) == 1
    shown = " ".join(texts)
    for claim, verdict in zip(table["claim"], table["verdict"], strict=True):
        assert claim in shown and verdict in shown
    assert "needs flourishing/verified.csv" in shown and "nan" not in shown
    assert clashes(figure) == [] and outside(figure) == []
    badge = next(t for t in figure.axes[0].texts if t.get_text() == CLAIM_LOOKS["holds"].symbol)
    assert to_hex(badge.get_bbox_patch().get_facecolor()) == GREEN.lower()


def test_claims_with_an_unknown_verdict_are_refused():
    with pytest.raises(FigureError, match="unknown verdict maybe"):
        claims_table(claims().replace({"verdict": {"holds": "maybe"}}))
    with pytest.raises(FigureError, match="needs"):
        claims_table(claims().drop(columns="needs"))


def counts(**rows):
    return pd.DataFrame(
        [(name, sum(numbers), *numbers) for name, numbers in rows.items()],
        columns=["exhibit", "values", *VALUE_LOOKS],
    )


def test_certificate_bars_are_shares_with_the_counts_written_in():
    figure = canvas(
        certificate_bars(counts(first=(3, 0, 1, 0, 0), empty=(0,) * 5, last=(996, 1, 1, 2, 0)))
    )
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["last (1,000)", "first (4)"]
    assert [box.get_label() for box in axes.containers] == [
        *("✔ exact", "≈ within rounding", "✘ differs", "? not recomputable")
    ]
    widths = np.array([[bar.get_width() for bar in box] for box in axes.containers])
    np.testing.assert_allclose(widths[:, 1], [75, 0, 25, 0])
    np.testing.assert_allclose(widths.sum(axis=0), 100)
    texts = sorted(text.get_text() for text in written(axes))
    assert texts == sorted(["✔ 3", "✘ 1", "✔ 996", "≈ 1", "✘ 1", "? 2"])
    assert clashes(figure) == [] and outside(figure) == []


def test_certificate_of_nothing_is_refused():
    with pytest.raises(FigureError, match="no value at all"):
        certificate_bars(counts(first=(0,) * 5))
    with pytest.raises(FigureError, match="differs"):
        certificate_bars(counts(first=(1,) * 5).drop(columns="differs"))
    twice = pd.concat([counts(first=(1,) * 5)] * 2)
    with pytest.raises(FigureError, match="twice"):
        certificate_bars(twice)


# --- labels


def empty_axes():
    figure = Figure(figsize=(4, 3))
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlim=(0, 1), ylim=(0, 1))
    figure.draw_without_rendering()
    return axes


def test_labels_of_one_point_do_not_lie_on_each_other_or_on_a_line():
    axes = empty_axes()
    labels = [Label(f"label {i}", ((0.5, 0.5),), "#000000") for i in range(6)]
    lines = [[(0.0, 0.5), (1.0, 0.5)]]
    notes = place_labels(axes, labels, lines, [(0.5, 0.5)])
    found = [box for _, box in boxes(notes)]
    assert not any(a.overlaps(b) for a, b in combinations(found, 2))
    height = axes.transData.transform((0, 0.5))[1]
    assert all(box.y0 > height or box.y1 < height for box in found)
    centre = axes.transData.transform((0.5, 0.5))
    reach = MARKER * axes.figure.dpi / 72
    assert all(
        max(box.x0 - centre[0], centre[0] - box.x1, box.y0 - centre[1], centre[1] - box.y1)
        > reach - 1
        for box in found
    )


def test_a_label_prefers_its_right_and_then_its_first_anchor():
    axes = empty_axes()
    label = Label("a name", ((0.3, 0.5), (0.7, 0.5)), "#000000")
    (free,) = place_labels(axes, [label])
    assert free.xy == pytest.approx((0.3, 0.5)) and free.get_position()[0] > 0
    block = [[(0.31 + 0.01 * i, 0.2), (0.31 + 0.01 * i, 0.8)] for i in range(20)]
    left = [[(0.29 - 0.01 * i, 0.2), (0.29 - 0.01 * i, 0.8)] for i in range(28)]
    (moved,) = place_labels(empty_axes(), [label], block + left)
    assert moved.xy == pytest.approx((0.7, 0.5))


def test_a_far_label_is_tied_to_its_anchor_and_labels_are_the_same_every_time():
    def place():
        axes = empty_axes()
        crowd = [[(0.3, y), (0.7, y)] for y in np.linspace(0.38, 0.62, 13)]
        notes = place_labels(axes, [Label("far", ((0.5, 0.5),), "#000000")], crowd)
        return axes, [(note.xy, note.get_position()) for note in notes]

    axes, first = place()
    leaders = [text for text in axes.texts if isinstance(text, Annotation) and text.arrow_patch]
    assert len(leaders) == 1
    assert place()[1] == first
    assert place_labels(empty_axes(), []) == []


def test_label_colours_are_darker_than_the_palette():
    assert dark("#FFFFFF") == "#b8b8b8" and dark("#000000") == "#000000"

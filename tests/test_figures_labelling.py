"""Figures of the crowd and of the human review: what is drawn, and that it can be read."""

import hashlib
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers import figures
from helpers.metrics import coder_agreement
from helpers.tasks import load_task
from helpers.verification.decisions import Decision
from helpers.verification.summary import acceptance_rates, judgements

CAP = load_task("cap")
LABELLERS = [f"labeller-{number}" for number in range(1, 9)]
LONG = "A labeller whose name goes on and on, far beyond what a margin has room for"
NAMES = {"labeller-1": LONG, "labeller-2": "Sentence encoder, V1 hierarchical"}


def kappa_table(names=LABELLERS):
    rng, rows = np.random.default_rng(0), []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            kappa = rng.uniform(-0.05, 0.95)
            rows.append((a, b, 1000, kappa, kappa - 0.04, kappa + 0.04))
    return pd.DataFrame(rows, columns=["a", "b", "n", "kappa", "ci_low", "ci_high"])


def share_table(statistics=("right",)):
    rows = [
        (rule, statistic, value, value - 0.03, min(value + 0.03, 1), 1000, 5)
        for statistic in statistics
        for rule, value in (("any", 0.99), ("majority", 0.61), ("all", 0.05))
    ]
    columns = ["rule", "statistic", "value", "ci_low", "ci_high", "n", "n_labellers"]
    return pd.DataFrame(rows, columns=columns)


def given_table(unit="texts"):
    frame = pd.DataFrame({"agreeing": range(1, 7), "n": [0, 100, 300, 350, 200, 50]})
    frame = frame.assign(unit=unit, share=frame["n"] / 1000)
    frame["accuracy"] = [np.nan, 0.02, 0.5, 0.8, 0.95, 1.0]
    low, high = np.maximum(frame["accuracy"] - 0.1, 0), np.minimum(frame["accuracy"] + 0.1, 1)
    return frame.assign(ci_low=low, ci_high=high)


def score_table(metrics=("accuracy", "macro_f1"), names=LABELLERS):
    rows = [
        (name, metric, 0.2 + 0.08 * place, 0.17 + 0.08 * place, 0.24 + 0.08 * place, 1000, 990)
        for place, name in enumerate(names)
        for metric in metrics
    ]
    columns = ["labeller", "metric", "value", "ci_low", "ci_high", "n", "n_answered"]
    return pd.DataFrame(rows, columns=columns)


def confusion_table():
    frame = pd.DataFrame({"gold_name": [CAP.label_names[k] for k in CAP.labels[:10]]})
    frame["predicted_name"] = [CAP.label_names[k] for k in CAP.labels[10:20]]
    frame["share"] = np.linspace(0.2, 0.05, 10)
    return frame.assign(
        n=40, n_gold=1400, ci_low=frame["share"] - 0.02, ci_high=frame["share"] + 0.02
    )


def rate_table(coders=3):
    rows = []
    for place, labeller in enumerate(["all", *LABELLERS[:5]]):
        for number in range(coders):
            rate = 0.9 - 0.12 * place + 0.01 * number
            coder = f"coder-{number}" if number else "all"
            rows.append((labeller, coder, rate, rate - 0.1, min(rate + 0.05, 1), 1234))
    columns = ["labeller", "coder", "rate", "ci_low", "ci_high", "judged"]
    return pd.DataFrame(rows, columns=columns)


def audit_table():
    return pd.DataFrame(
        [("cap", 0.91, 0.84, 0.95, 100, 0.9), ("flourishing", 0.4, 0.3, 0.5, 100, 0.45)],
        columns=["task", "estimate", "ci_low", "ci_high", "texts", "gold"],
    )


def source_table():
    return pd.DataFrame(
        [
            ("gold", 0.71, 0.66, 0.76, 300, 1000, 1000),
            ("verified", 0.69, 0.64, 0.74, 300, 930, 1650),
            ("majority", 0.6, 0.55, 0.65, 300, 1000, 0),
        ],
        columns=["source", "value", "ci_low", "ci_high", "n", "n_train", "weighed"],
    )


def pace_table():
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "coder": f"coder-{number}",
                "minutes": np.cumsum(rng.gamma(2, 0.1, 200)),
                "decisions": np.arange(1, 201),
            }
        )
        for number in (1, 2)
    ]
    return pd.concat(parts, ignore_index=True)


def draw_all():
    three = ("recall", "precision", "complete")
    four = ("micro_precision", "micro_recall", "micro_f1", "jaccard")
    here = {"embedded": True}
    review = {"embedded": True, "simulated": True}
    return {
        "heat8": figures.agreement_heatmap(kappa_table(), "Agreement", names=NAMES, **here),
        "heat2": figures.agreement_heatmap(kappa_table(LABELLERS[:2]), "Agreement", **here),
        "crowd": figures.crowd_bars(share_table(), "Crowd", **here),
        "pools": figures.crowd_bars(share_table(three), "Crowd", **here),
        "given": figures.accuracy_by_agreement(given_table(), "Given", **here),
        "proposals": figures.accuracy_by_agreement(given_table("proposals"), "Given", **here),
        "scores": figures.labeller_forest(score_table(), "Scores", names=NAMES, **here),
        "scores4": figures.labeller_forest(score_table(four), "Scores", names=NAMES, **here),
        "confusions": figures.confusion_pairs(confusion_table(), "Confusions", **here),
        "rates": figures.acceptance_rates(rate_table(), "Accepted", names=NAMES, **review),
        "rates7": figures.acceptance_rates(rate_table(8), "Accepted", names=NAMES, **review),
        "audit": figures.pool_recall(audit_table(), "Audit", names={"cap": LONG}, **review),
        "sources": figures.label_sources(
            source_table(), "Sources", baseline=("Majority class", 0.1), **review
        ),
        "pace": figures.decision_pace(pace_table(), "Pace", **review),
    }


@pytest.fixture(scope="module")
def drawn():
    return draw_all()


EXHIBITS = (
    *("heat8", "heat2", "crowd", "pools", "given", "proposals", "scores", "scores4"),
    *("confusions", "rates", "rates7", "audit", "sources", "pace"),
)
REVIEW = ("rates", "rates7", "audit", "sources", "pace")


def words_of(axes):
    return [text.get_text() for text in axes.texts]


def y_labels(axes):
    return [text.get_text() for text in axes.get_yticklabels()]


def visible_texts(figure):
    """Every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    texts = [figure._suptitle, figure._supxlabel, *figure.texts]
    for legend in [*figure.legends, *(a.get_legend() for a in figure.axes if a.get_legend())]:
        texts += legend.get_texts()
    for axes in figure.axes:
        texts += [axes.title, axes._left_title, *axes.texts]
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            ticks = [k for k in axis.get_major_ticks() if min(limits) <= k.get_loc() <= max(limits)]
            texts += [axis.label, *(tick.label1 for tick in ticks)]
    unique = {id(t): t for t in texts if t is not None and t.get_visible()}
    return [
        (t.get_text(), t, t.get_window_extent(canvas.get_renderer()))
        for t in unique.values()
        if t.get_text().strip()
    ]


@pytest.mark.parametrize("name", EXHIBITS)
def test_no_text_is_clipped_and_none_is_tiny(drawn, name):
    frame, found = drawn[name].bbox, visible_texts(drawn[name])
    assert len(found) > 5
    for words, text, box in found:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= frame.x1 + 1 and box.y1 <= frame.y1 + 1
        assert inside, f"{words!r} leaves the figure"
        assert text.get_fontsize() >= 6.5


@pytest.mark.parametrize("name", [name for name in EXHIBITS if not name.startswith("heat")])
def test_labels_do_not_overlap(drawn, name):
    texts = visible_texts(drawn[name])
    for i, (first, _, a) in enumerate(texts):
        for second, _, b in texts[i + 1 :]:
            width = min(a.x1, b.x1) - max(a.x0, b.x0)
            height = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert width <= 1 or height <= 1, f"{first!r} overlaps {second!r}"


def test_numbers_of_the_heat_map_stay_in_their_cells(drawn):
    figure = drawn["heat8"]
    axes = figure.axes[0]
    FigureCanvasAgg(figure).draw()
    corner, next_corner = axes.transData.transform([(0, 0), (1, 1)])
    width = abs(next_corner[0] - corner[0])
    for text in axes.texts:
        assert text.get_window_extent().width < width


@pytest.mark.parametrize("name", EXHIBITS)
def test_titles_tell_whose_numbers_these_are(drawn, name):
    title = drawn[name].get_suptitle().replace("\n", " ")
    assert title.endswith("(embedded texts)")
    assert ("simulated coders" in title) == (name in REVIEW)


def test_people_and_real_texts_are_not_called_simulated_or_embedded():
    assert figures.decision_pace(pace_table(), "Pace").get_suptitle() == "Pace"
    assert figures.crowd_bars(share_table(), "Crowd").get_suptitle() == "Crowd"


def test_figures_are_the_same_bytes_each_time_and_stay_off_the_list(tmp_path):
    def digests(folder):
        exhibits = {
            "heat": figures.agreement_heatmap(kappa_table(LABELLERS[:3]), "Agreement"),
            "pools": figures.crowd_bars(share_table(), "Crowd"),
            "sources": figures.label_sources(source_table(), "Sources"),
        }
        for name, figure in exhibits.items():
            figures.save_figure(figure, tmp_path / folder, name)
        files = sorted((tmp_path / folder).iterdir())
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    first = digests("a")
    assert len(first) == 6
    with plt.style.context("dark_background"):
        assert digests("b") == first
    assert plt.get_fignums() == []


# --- what is drawn --------------------------------------------------------------------------------


def test_heat_map_shows_each_pair_once_whatever_the_order():
    table = pd.DataFrame(
        [("a", "b", 90, 0.5, 0.4, 0.6), ("c", "a", 100, 0.7, 0.6, 0.8)],
        columns=["a", "b", "n", "kappa", "ci_low", "ci_high"],
    )
    table.loc[2] = ("b", "c", 0, np.nan, np.nan, np.nan)
    axes = figures.agreement_heatmap(table, "Agreement").axes[0]
    image = axes.images[0].get_array()
    # Order of first appearance: a, c, b; the rows leave out the first, the columns the last.
    assert y_labels(axes) == ["c", "b"]
    assert image[0, 0] == 0.7 and image[1, 0] == 0.5 and np.ma.getmaskarray(image)[1, 1]
    assert words_of(axes) == ["0.50", "0.40 to 0.60", "0.70", "0.60 to 0.80", "–"]
    assert "0 to 100 texts in common" in axes.get_title(loc="left")


def test_negative_kappa_has_a_colour_of_its_own(drawn):
    low = kappa_table()["kappa"].min()
    assert low < 0
    assert drawn["heat8"].axes[0].images[0].get_clim() == (low, 1)


def test_crowd_bars_show_the_rules_in_order(drawn):
    axes = drawn["crowd"].axes[0]
    labels = dict(zip(axes.get_yticks(), y_labels(axes), strict=True))
    assert [labels[k] for k in (2, 1, 0)] == [
        "Any labeller",
        "Majority (more than half)",
        "All labellers",
    ]
    assert [bar.get_width() for bar in axes.patches] == [0.99, 0.61, 0.05]
    assert words_of(axes) == ["99.0%", "61.0%", "5.0%"]
    assert axes.get_xlabel() == "of 1,000 texts"
    assert drawn["crowd"].get_supxlabel() == "5 labellers; lines: 95% intervals"
    titles = [axes.get_title(loc="left") for axes in drawn["pools"].axes]
    assert titles[:2] == ["Gold labels that are proposed", "Proposed labels that are right"]


def test_undefined_shares_say_so():
    table = share_table().assign(value=np.nan, ci_low=np.nan, ci_high=np.nan)
    assert words_of(figures.crowd_bars(table, "Crowd").axes[0]) == ["undefined"] * 3


def test_accuracy_is_drawn_where_it_is_defined_over_the_share_of_texts(drawn):
    top, bottom = drawn["given"].axes
    assert list(top.lines[0].get_xdata()) == [2, 3, 4, 5, 6]
    assert words_of(top) == ["2%", "50%", "80%", "95%", "100%"]
    assert [bar.get_height() for bar in bottom.patches] == [0, 0.1, 0.3, 0.35, 0.2, 0.05]
    assert words_of(bottom)[1] == "10% (100)"
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("Accuracy", "Share of texts")
    top, bottom = drawn["proposals"].axes
    assert (top.get_ylabel(), bottom.get_ylabel()) == ("Precision", "Share of proposals")
    assert bottom.get_xlabel() == "Labellers that propose it"


def test_the_best_labeller_is_on_top_with_its_answers(drawn):
    labels = y_labels(drawn["scores"].axes[0])
    assert labels[-1] == "labeller-8\n990 of 1,000 answered"
    assert labels[1].startswith("Sentence encoder, V1 hierarchical\n")
    assert [axes.get_title(loc="left") for axes in drawn["scores4"].axes] == [
        "Micro precision",
        "Micro recall",
        "Micro F1",
        "Jaccard",
    ]
    only = figures.labeller_forest(score_table(), "Scores", metrics=["macro_f1"])
    assert [axes.get_title(loc="left") for axes in only.axes] == ["Macro F1"]


def test_a_labeller_without_score_is_listed_last():
    table = score_table(("accuracy",), LABELLERS[:3])
    table.loc[2, ["value", "ci_low", "ci_high"]] = np.nan
    axes = figures.labeller_forest(table, "Scores").axes[0]
    assert y_labels(axes)[0].startswith("labeller-3")
    assert len(words_of(axes)) == 2


def test_the_most_frequent_confusion_is_on_top(drawn):
    axes = drawn["confusions"].axes[0]
    labels = dict(zip(axes.get_yticks(), y_labels(axes), strict=True))
    gold, given = CAP.label_names[CAP.labels[0]], CAP.label_names[CAP.labels[10]]
    assert labels[9] == f"{gold}\n→ {given}"
    assert axes.patches[0].get_width() == pytest.approx(0.2)
    assert words_of(axes)[0] == "40 of 1,400"


def test_acceptance_is_drawn_per_labeller_and_coder(drawn):
    axes = drawn["rates"].axes[0]
    series = {c.get_label(): c.lines[0] for c in axes.containers}
    assert list(series) == ["all coders", "coder-1", "coder-2"]
    assert series["coder-1"].get_xdata()[0] == pytest.approx(0.91)
    # The first labeller of the table is on top, and coders keep their order below each other.
    assert y_labels(axes)[0] == "all labellers" and axes.get_yticks()[0] == 5
    first = [line.get_ydata()[0] for line in series.values()]
    assert first == sorted(first, reverse=True) and first[1] == pytest.approx(5)
    assert "90% of 1,234" in words_of(axes)


def test_the_tables_of_the_review_can_be_drawn_as_they_are():
    proposals = pd.DataFrame(
        [("t1", "x", "", '["one", "two"]', 2), ("t2", "y", "", '["one"]', 1)],
        columns=["id", "label", "level", "labellers", "votes"],
    )
    decisions = [
        Decision(coder="ann", text_id="t1", action="accept", label="x"),
        Decision(coder="bob", text_id="t1", action="reject", label="x"),
        Decision(coder="bob", text_id="t2", action="accept", label="y"),
    ]
    rates = acceptance_rates(proposals, decisions)
    axes = figures.acceptance_rates(rates, "Accepted").axes[0]
    assert set(y_labels(axes)) == {"all labellers", "one", "two"}
    assert {c.get_label() for c in axes.containers} == {"all coders", "ann", "bob"}
    assert words_of(axes).count("67% of 3") == 2  # all labellers, and one, who proposed all
    found = coder_agreement(judgements(proposals, decisions), n_resamples=50)
    assert found.loc[0, ["statistic", "value", "n"]].tolist() == ["agreement", 0.0, 1]


def test_audit_shows_estimate_and_gold(drawn):
    axes = drawn["audit"].axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert list(crosses[0].get_xdata()) == [0.9, 0.45]
    assert words_of(axes) == ["91.0%, 100 texts", "40.0%, 100 texts"]
    alone = figures.pool_recall(audit_table().drop(columns="gold"), "Audit").axes[0]
    assert not [line for line in alone.lines if line.get_marker() == "x"]


def test_label_sources_show_score_baseline_and_decisions(drawn):
    left, right = drawn["sources"].axes
    dots = left.containers[0].lines[0]
    assert list(dots.get_xdata()) == [0.71, 0.69, 0.6]
    assert list(dots.get_ydata()) == [2, 1, 0]
    dashed = [line for line in left.lines if line.get_label() == "Majority class (0.100)"]
    assert dashed[0].get_xdata()[0] == 0.1
    assert [bar.get_width() for bar in right.patches] == [1000, 1650, 0]
    assert words_of(right) == ["1,000", "1,650", "0"]
    assert "verified\n930 training texts" in y_labels(left)
    assert left.get_xlabel() == "Accuracy (test, 300 texts), 95% interval"


def test_pace_ends_where_the_coder_ended(drawn):
    axes = drawn["pace"].axes[0]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    minutes = pace_table().groupby("coder")["minutes"].max()
    assert legend == [f"{k}: 200 decisions in {v:.0f} minutes" for k, v in minutes.items()]


def test_missing_numbers_are_named():
    cases = [
        (figures.agreement_heatmap, kappa_table(), "kappa"),
        (figures.crowd_bars, share_table(), "n_labellers"),
        (figures.accuracy_by_agreement, given_table(), "unit"),
        (figures.labeller_forest, score_table(), "n_answered"),
        (figures.confusion_pairs, confusion_table(), "n_gold"),
        (figures.acceptance_rates, rate_table(), "coder"),
        (figures.pool_recall, audit_table(), "ci_low"),
        (figures.label_sources, source_table(), "weighed"),
        (figures.decision_pace, pace_table(), "minutes"),
    ]
    for draw, table, column in cases:
        with pytest.raises(figures.FigureError, match=rf"lacks column\(s\) {column}"):
            draw(table.drop(columns=column), "Title")
        with pytest.raises(figures.FigureError, match="no rows to draw"):
            draw(table.iloc[:0], "Title")
    with pytest.raises(figures.FigureError, match="have no jaccard"):
        figures.labeller_forest(score_table(), "Scores", metrics=["jaccard"])
    with pytest.raises(figures.FigureError, match="8 coders are too many"):
        figures.acceptance_rates(rate_table(9), "Accepted")


def test_titles_of_narrow_panels_stay_on_the_page_and_apart():
    names = ["micro_precision", "micro_recall", "micro_f1", "jaccard", "intensity_accuracy"]
    rows = [
        {"labeller": f"l{i}", "metric": name, "value": 0.4, "ci_low": 0.3, "ci_high": 0.5}
        | {"n": 9, "n_answered": 9}
        for i in range(2)
        for name in names
    ]
    figure = figures.labeller_forest(pd.DataFrame(rows), "Labellers")
    FigureCanvasAgg(figure).draw()
    # Titles are set at the left: matplotlib keeps those apart from the centred `axes.title`.
    boxes = [axes._left_title.get_window_extent() for axes in figure.axes]
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))

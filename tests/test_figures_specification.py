"""The figures of the sensitivity analysis show what their tables say."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers.audit.sensitivity.effects import choice_effects
from helpers.audit.sensitivity.specifications import (
    CHOICES,
    REFERENCE,
    PreparedSplit,
    specifications,
)
from helpers.audit.sensitivity.tables import (
    option_shares,
    rank_ranges,
    rank_shares,
    specification_differences,
)
from helpers.figures.specification import OPTION_NAMES, specification_curve
from helpers.figures.specification_ranks import specification_effects, specification_ranks
from helpers.figures.style import FigureError, save_figure

TUNED = "classified-L2-7B-FT"
OTHERS = ["classified-L31-405B", "classified-L3-8B"]


@pytest.fixture(scope="module")
def specs():
    """Both splits; the answers of one model get worse from cleaning to cleaning."""
    parts = {}
    for split, n in (("train", 80), ("test", 50)):
        rng = np.random.default_rng(n)
        truth = (rng.integers(1, 4, (n, 46)) * (rng.random((n, 46)) < 0.1)).astype(np.uint8)
        lost = rng.random(truth.shape)
        predicted = {
            cleaning: {
                name: np.where(lost > 0.1 * model + (model == 1) * 0.25 * step, truth, 0)
                for model, name in enumerate([REFERENCE, TUNED, *OTHERS])
            }
            for step, cleaning in enumerate(CHOICES["cleaning"])
        }
        parts[split] = PreparedSplit(split, dict.fromkeys(CHOICES["conflict"], truth), predicted)
    return specifications(parts)


def texts(figure):
    found = {text.get_text() for axes in figure.axes for text in axes.texts}
    found |= {axes.get_title() for axes in figure.axes}
    found |= {axes.get_title(loc="left") for axes in figure.axes}
    found |= {label.get_text() for axes in figure.axes for label in axes.get_yticklabels()}
    return found | {figure.get_suptitle()}


def test_option_names_cover_every_option_in_order():
    assert {name: tuple(options) for name, options in OPTION_NAMES.items()} == CHOICES


def test_rank_strips_show_shares_and_mark_training_posts(specs):
    shares, ranges = rank_shares(specs), rank_ranges(specs)
    figure = specification_ranks(shares, ranges)
    train, test = figure.axes
    assert [label.get_text() for label in train.get_yticklabels()].count("Llama 2 7B FT †") == 1
    assert "Llama 2 7B FT" in {label.get_text() for label in test.get_yticklabels()}
    cells = {text.get_text() for text in train.texts}
    wanted = shares[(shares["split"] == "train") & (shares["share"] > 0.005)]["share"]
    assert {f"{share:.0%}" for share in wanted} <= cells
    for fname in ranges["fname"].unique():
        row = ranges[(ranges["fname"] == fname) & (ranges["split"] == "train")].iloc[0]
        assert f"{row['share_beats_nothing']:.0%}" in cells
    assert len(specification_ranks(shares, ranges[ranges["split"] == "test"]).axes) == 1


def test_the_curve_is_ascending_and_every_dot_has_its_option(specs):
    differences = specification_differences(specs, TUNED)
    shares = option_shares(differences)
    figure = specification_curve(differences, shares, "train")
    columns = len(OPTION_NAMES["metric"])
    assert len(figure.axes) == 2 * columns
    table = differences[differences["split"] == "train"]
    for axes, metric in zip(figure.axes[:columns], OPTION_NAMES["metric"], strict=True):
        assert axes.get_title(loc="center") == OPTION_NAMES["metric"][metric]
        x, y = np.asarray(axes.collections[0].get_offsets()).T
        assert (np.diff(y[np.argsort(x, kind="stable")]) >= -1e-9).all()
        part = table[table["metric"] == metric]
        assert y.max() == pytest.approx(100 * part["difference"].max())
    for axes, metric in zip(figure.axes[columns:], OPTION_NAMES["metric"], strict=True):
        part = table[table["metric"] == metric]
        lines = axes.collections[-1].get_segments()
        marks = sum(len(part[["place", name]].drop_duplicates()) for name in list(CHOICES)[1:])
        assert len(lines) == marks
    total = shares[(shares["split"] == "train") & (shares["choice"] == "all")].iloc[0]
    title = figure.get_suptitle()
    assert f"ahead in {total['n_beats']:,} of {total['n']:,} specifications" in title
    legend = figure.legends[0].get_title().get_text()
    assert "was trained on these posts" in legend
    other = specification_curve(differences, shares, "test").legends[0].get_title().get_text()
    assert "was trained" not in other


def test_effects_show_every_option_and_its_number(specs):
    effects = choice_effects(specs)
    figure = specification_effects(effects, "test")
    row = effects[(effects["split"] == "test") & (effects["option"] == "strict")].iloc[0]
    shown = texts(figure)
    assert f"codebook's words only ({row['n_pairs']:,})" in shown
    assert f"{row['mean_rank_change']:.2f}" in shown
    assert row["mean_rank_change"] > 0
    bars = [len(axes.patches) for axes in figure.axes]
    assert bars == [sum(len(options) - 1 for options in CHOICES.values())] * 3


def test_the_same_figure_gives_the_same_bytes(specs, tmp_path):
    tables = rank_shares(specs), rank_ranges(specs)
    first, again = (save_figure(specification_ranks(*tables), tmp_path, name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_no_text_lies_over_another(specs):
    figures = [
        specification_ranks(rank_shares(specs), rank_ranges(specs)),
        specification_effects(choice_effects(specs)),
    ]
    differences = specification_differences(specs, TUNED)
    figures.append(specification_curve(differences, option_shares(differences)))
    for figure in figures:
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        renderer = canvas.get_renderer()
        items = [text for axes in figure.axes for text in axes.texts if text.get_text()]
        for axes in figure.axes:
            items += [label for label in axes.get_yticklabels() if label.get_text()]
        boxes = [item.get_window_extent(renderer).shrunk(0.94, 0.8) for item in items]
        assert all(size >= 9 for size in (item.get_fontsize() for item in items))
        page = figure.bbox
        for place, box in enumerate(boxes):
            assert box.x0 >= page.x0, items[place].get_text()
            assert box.x1 <= page.x1, items[place].get_text()
            over = [other for other in boxes[:place] if box.overlaps(other)]
            assert not over, items[place].get_text()


def test_tables_without_what_is_drawn_are_refused(specs):
    shares, ranges, effects = rank_shares(specs), rank_ranges(specs), choice_effects(specs)
    differences = specification_differences(specs, TUNED)
    options = option_shares(differences)
    with pytest.raises(FigureError, match=r"lacks column\(s\) share"):
        specification_ranks(shares.drop(columns="share"), ranges)
    with pytest.raises(FigureError, match=f"no row of {TUNED}"):
        specification_ranks(shares[shares["fname"] != TUNED], ranges)
    train = differences[differences["split"] == "train"]
    with pytest.raises(FigureError, match="no rows of the test posts"):
        specification_curve(train, options, "test")
    with pytest.raises(FigureError, match="no rows to draw"):
        specification_curve(train.iloc[:0], options)
    with pytest.raises(FigureError, match="no rows of the test posts"):
        specification_effects(effects[effects["split"] == "train"], "test")

"""Chapter 09: from a run's predictions and audit to tables and figures, with and without them."""

import shutil
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from run_example import small_run
from yaml import safe_dump, safe_load

from helpers import estimates, experiments
from helpers.chapters import execute, load_chapters
from helpers.data.prepared import read_task
from helpers.experiments import estimates as chapter
from helpers.experiments import (
    estimates_plans,
    estimates_reading,
    estimates_regressions,
    estimates_simulated,
    estimates_tables,
)
from helpers.figures import FigureError
from helpers.figures import estimates as drawn
from helpers.figures import estimates_simulation as drawn_simulation
from helpers.plans import EstimatesStudy
from helpers.profiles import PROFILES, ProfileError, load_profile
from helpers.runs import write_frame
from helpers.tasks import load_task

CAP = load_task("cap")
PLAN = {
    "by": {"cap": ["kind", "period", "party"]},
    "periods": [1995, 2009],
    "topic": {"cap": ["4", "7", "8"]},
    "folds": 0,
    "replications": 20,
    "n_coded": [40, 60],
    "accuracies": [0.9],
    "n_population": 150,
    "corpus": 5000,
}
METHODS = ["naive", "classical", "ppi", "dsl"]


def make_run(root, name="cap", *, train=200, audit=100, error_rate=0.0, **changed):
    """A run with texts, a made-up crowd, and an audit by simulated coders."""
    plan = EstimatesStudy(**(PLAN | changed))
    verification = {"audit": audit, "error_rate": error_rate}
    run = small_run(root, name, train=train, test=30, verification=verification, estimates=plan)
    experiments.review_task(run, load_task(name))
    return run


def with_plan(run, **changed):
    plan = EstimatesStudy(**(PLAN | changed))
    return replace(run, profile=run.profile.model_copy(update={"estimates": plan}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("09"))


@pytest.fixture(scope="module")
def pool(run):
    pools, notes = chapter.open_pools(run)
    assert not notes
    return pools["cap"]


@pytest.fixture(scope="module")
def shares(run, pool):
    return estimates_tables.share_table(run, pool)


@pytest.fixture(scope="module")
def simulated(run, pool):
    return estimates_plans.simulation(run, pool)


# --- what is there --------------------------------------------------------------------------------


def test_the_pool_is_what_the_audit_was_drawn_from(run, pool):
    assert len(pool.texts) == 200 and len(pool.coded) == 100 and pool.simulated
    assert set(pool.coded["id"]) < set(pool.texts["id"])
    assert pool.coded["probability"].tolist() == [0.5] * 100
    gold = pool.texts.set_index("id")["labels"]
    # These coders make no errors.
    assert (pool.coded.set_index("id")["labels"] == gold.reindex(pool.coded["id"])).all()
    assert estimates_tables.missing_groups(run, {"cap": pool}) == [
        "cap: these texts have no column 'party': no shares by it"
    ]


def test_without_an_audit_the_chapter_says_so_and_every_table_is_empty(tmp_path):
    run = small_run(tmp_path, estimates=EstimatesStudy(**PLAN))
    for name in ("tables/estimates_shares.csv", "figures/09_worth.png", "tables/metrics.csv"):
        run.path(*name.split("/")).write_text("of an earlier run")
    pools, notes = chapter.open_pools(run)
    assert pools == {} and chapter.main_pool(pools) is None
    assert notes == ["cap: not run: no audit in this run: run 03_verification first"]
    assert estimates_tables.counts(run, pools).empty
    assert estimates_tables.misplaced(estimates_tables.counts(run, pools)).empty
    assert chapter.describe(pools).empty
    assert not (run.root / "tables" / "estimates_shares.csv").exists()
    assert not (run.root / "figures" / "09_worth.png").exists()
    assert (run.root / "tables" / "metrics.csv").exists()


def test_an_unfinished_or_small_audit_is_named_and_not_used(tmp_path):
    run = make_run(tmp_path, train=60, audit=30)
    logs = sorted((run.root / "verification" / "simulated" / "cap").glob("*.jsonl"))
    for log in logs[1:]:
        log.unlink()
    _, [note] = chapter.open_pools(run)
    assert "15 of 30 audit texts are not coded yet, first cap-" in note
    for log in logs[:1]:
        log.unlink()
    _, [note] = chapter.open_pools(run)
    assert "nobody has coded" in note
    small = make_run(tmp_path / "small", train=60, audit=12)
    _, [note] = chapter.open_pools(small)
    assert "12 coded rows are too few" in note


def test_an_audit_of_other_texts_is_refused(tmp_path):
    run = make_run(tmp_path, train=60, audit=30)
    path = run.root / "data" / "cap" / "texts.parquet"
    texts = pd.read_parquet(path)
    gone = pd.read_parquet(run.root / "verification" / "cap" / "assignment.parquet")
    first = gone.loc[gone["blind"], "id"].iloc[0]
    write_frame(path, texts[texts["id"] != first])
    pools, [note] = chapter.open_pools(run)
    assert not pools and "coded id not in the population" in note and first in note


def test_periods_cover_all_years_and_name_their_ends():
    year = pd.Series([1994, 1995, 2003, 2004, 2021, 2013])
    named = chapter.periods(year, [1995, 2004, 2013, 2030])
    assert named.tolist() == [
        *("1994", "1995-2003", "1995-2003", "2004-2012", "2013-2021", "2013-2021"),
    ]
    assert set(chapter.periods(year, [])) == {"1994-2021"}


def test_no_text_is_predicted_by_a_model_that_learnt_from_it(tmp_path, monkeypatch):
    run = make_run(tmp_path, train=60, audit=30, folds=3)
    verified = pd.read_parquet(run.root / "verification" / "cap" / "verified.parquet")
    seen = []

    def spy(name, task, texts, embed, *, seed):
        seen.append(texts)
        return texts.assign(status="ok", answer="")

    monkeypatch.setattr(chapter, "predict_baseline", spy)
    texts = read_task(run, CAP).query("split == 'train'").reset_index(drop=True)
    made = chapter.cross_fitted(run, CAP, texts)
    assert len(seen) == 3 and len(made) == len(texts)
    held = pd.concat([part[part["split"] == "test"] for part in seen])
    assert sorted(held["id"]) == sorted(texts["id"])
    known = verified.set_index("id")["labels"]
    for part in seen:
        learnt = part[part["split"] == "train"].set_index("id")["labels"]
        assert len(learnt) and learnt.equals(known.reindex(learnt.index))
    # Done work is kept.
    again = chapter.cross_fitted(run, CAP, texts)
    assert len(seen) == 3 and again.equals(made)
    # Other verified labels: made anew.
    write_frame(run.root / "verification" / "cap" / "verified.parquet", verified.iloc[1:])
    chapter.cross_fitted(run, CAP, texts)
    assert len(seen) == 6


# --- tables ---------------------------------------------------------------------------------------


def test_counts_are_shares_of_predictions_beside_the_truth(run, pool):
    counted = estimates_tables.counts(run, {"cap": pool})
    crowd = counted[(counted["texts"] == "training texts") & (counted["label"] == "4")].iloc[0]
    assert crowd["truth"] == pytest.approx((pool.texts["labels"] == '"4"').mean())
    assert crowd["naive"] == pytest.approx((pool.predicted["crowd"] == '"4"').mean())
    assert crowd["difference"] == pytest.approx(crowd["naive"] - crowd["truth"], abs=1e-5)
    # The crowd also answered for test texts; nothing is fine-tuned in this run.
    assert set(zip(counted["texts"], counted["predictor"], strict=True)) == {
        ("training texts", "crowd"),
        ("test texts", "crowd"),
    }
    words = estimates_reading.counts_reading(estimates_tables.misplaced(counted), counted)
    assert words.count("would have to move") == 2


def test_a_fine_tuned_model_is_counted_over_the_same_test_texts(run, pool):
    test = read_task(run, CAP).query("split == 'test'")
    answers = test[["id", "split", "labels"]].assign(status="ok", answer="")
    path = run.path("predictions", "cap", "minilm-2l-ft.parquet")
    write_frame(path, answers)
    counted = estimates_tables.counts(run, {"cap": pool}).query("texts == 'test texts'")
    path.unlink()
    assert set(counted["predictor"]) == {"fine-tuned", "crowd"} and set(counted["n"]) == {30}
    assert (counted.query("predictor == 'fine-tuned'")["difference"] == 0).all()


def test_shares_have_all_methods_groups_and_the_truth(shares):
    assert shares.columns.tolist() == [
        *("task", "predictor", "group_by", "group", "label", "name", "method"),
        *("estimate", "std_error", "ci_low", "ci_high", "n", "n_coded", "note", "truth"),
    ]
    overall = estimates_reading.overall(shares, "crowd")
    assert set(overall["label"]) == set(CAP.labels)
    assert overall.groupby("label")["method"].apply(list).map(lambda m: m == METHODS).all()
    assert overall.drop_duplicates("label")["truth"].sum() == pytest.approx(1)
    topic = estimates_reading.overall(shares, "crowd", topic=True)
    assert topic["truth"].iloc[0] == pytest.approx(
        overall.drop_duplicates("label").query("label in ['4', '7', '8']")["truth"].sum()
    )
    assert set(shares["group_by"]) == {"all", "kind", "period"}
    naive = topic.iloc[0]
    words = estimates_reading.topic_reading(shares)
    assert f"gold {naive['truth']:.1%}; naive {naive['estimate']:.1%} [" in words
    sizes = shares[shares["group_by"] == "period"].drop_duplicates("group")
    assert sizes["n"].sum() == 200 and sizes["n_coded"].sum() == 100


def test_gold_labels_change_the_truth_and_no_estimate(run, pool, shares):
    mixed = pool.texts["labels"].sample(frac=1, random_state=3).to_numpy()
    other = replace(pool, texts=pool.texts.assign(labels=mixed))
    table = estimates_tables.share_table(run, other)
    same = [c for c in shares.columns if c != "truth"]
    pd.testing.assert_frame_equal(table[same], shares[same])
    assert not np.allclose(table["truth"], shares["truth"])


def test_a_perfect_model_and_perfect_coders_agree_with_the_truth(run, pool):
    perfect = replace(pool, predicted={"crowd": pool.texts["labels"]})
    table = estimates_tables.share_table(run, perfect)
    exact = table[table["method"].isin(["naive", "dsl"])]
    assert np.allclose(exact["estimate"], exact["truth"])
    fitted, _ = estimates_regressions.regressions(run, perfect)
    exact = fitted[fitted["method"].isin(["naive", "dsl"])]
    assert np.allclose(exact["estimate"], exact["truth"])


def test_where_the_crowd_errs_one_way_only_the_naive_interval_misses(run, pool):
    always = replace(pool, predicted={"crowd": pd.Series('"4"', index=pool.texts.index)})
    summary = estimates_tables.share_summary(estimates_tables.share_table(run, always))
    holds = summary.set_index("method")["holds_truth"]
    assert holds["naive"] < 5 and holds[["classical", "ppi"]].min() >= 18
    assert summary["labels"].eq(21).all()
    words = estimates_reading.shares_reading(summary)
    assert f"naive: {holds['naive']} of 21 intervals hold the gold share" in words


def test_groups_with_few_coded_texts_are_named_and_not_drawn(tmp_path):
    run = make_run(tmp_path, train=80, audit=30)
    pools, notes = chapter.open_pools(run)
    assert notes == ["cap: only 30 coded rows: intervals are rough below 50"]
    pool = pools["cap"]
    table = estimates_tables.share_table(run, pool)
    [note] = [x for x in estimates_reading.small_groups(table) if "kind P" in x]
    assert note.endswith("coded texts, no intervals")
    assert "P" not in set(estimates_reading.by_groups(table, "crowd")["group"])


def test_regressions_know_the_truth_and_say_what_is_made_up(run, pool):
    table, notes = estimates_regressions.regressions(run, pool)
    left_out = "kind P has 0 coded texts with the topic or without it, fewer than 5: the kind is "
    assert notes == [f"{left_out}left out of the regression"]
    outcome = table[table["role"] == "outcome"]
    assert {"decades"} <= set(outcome["term"]) and not outcome["made_up"].any()
    population, _ = estimates_regressions.regression_frames(run, pool)
    terms = [np.ones(len(population)), population["decades"]]
    if "kind[P]" in set(outcome["term"]):
        terms.append((population["kind"] == "P").astype(float))
    by_hand = np.linalg.lstsq(np.column_stack(terms), population["gold"], rcond=None)[0]
    truth = outcome[outcome["term"] == "decades"]["truth"]
    assert np.allclose(truth, by_hand[1])
    second = table[table["role"] == "covariate"]
    assert second["made_up"].all() and second["effect"].notna().all()
    assert set(second.query("term == 'predicted'")["effect"]) == {0.5}
    wide = estimates_reading.regressions_wide(table, estimates_reading.term_names())
    assert wide["outcome"].eq("MADE UP").sum() == second["term"].nunique() == 2
    naive = second.query("term == 'predicted' and method == 'naive'").iloc[0]
    cell = wide.query("outcome == 'MADE UP' and term == 'has the topic'")["naive"].iloc[0]
    assert cell.startswith(f"{naive['estimate']:+.2f} [{naive['ci_low']:+.2f}")
    assert cell.endswith("*") != (naive["ci_low"] <= naive["truth"] <= naive["ci_high"])
    found = f"naive {naive['estimate'] / naive['truth']:.0%}"
    assert found in estimates_reading.regressions_reading(table)


def test_a_regression_that_cannot_be_run_is_noted(run, pool):
    none = replace(pool, coded=pool.coded.assign(labels='"21"'))
    table, notes = estimates_regressions.regressions(run, none)
    assert notes[0].endswith("the kind is left out of the regression")
    assert "topic as covariate: not run: no classical estimate" in notes[1]
    assert table.empty or set(table["role"]) == {"outcome"}


def test_tasks_with_several_labels_have_shares_and_plans_but_no_regressions(tmp_path):
    run = make_run(tmp_path, "dataverse", train=90, audit=50)
    pool = chapter.open_pools(run)[0]["dataverse"]
    table = estimates_tables.share_table(run, pool)
    assert table["label"].nunique() == 4 and set(table["group_by"]) == {"all"}
    label = table["label"].iloc[0]
    gold = [label in CAP.loads(cell) for cell in pool.texts["labels"]]
    assert table["truth"].iloc[0] == pytest.approx(np.mean(gold))
    assert estimates_regressions.regressions(run, pool)[0].empty
    assert estimates_plans.simulation(run, pool).empty
    assert set(estimates_plans.labels_table(run, pool)["label"]) == set(table["label"])


# --- ahead ----------------------------------------------------------------------------------------


def test_the_simulation_has_every_design_and_is_made_once(run, pool, simulated, monkeypatch):
    keys = ["estimand", "accuracy", "differential", "n_coded", "method"]
    assert len(simulated) == 3 * 2 * 2 * 2 * 4 and not simulated.duplicated(keys).any()
    crowd = (pool.predicted["crowd"] == pool.texts["labels"]).mean()
    assert simulated["accuracy"].max() == pytest.approx(0.9, abs=0.01)
    assert simulated["accuracy"].nunique() == 2 and crowd > 0.5
    monkeypatch.setattr(estimates, "simulate", None)  # a second simulation would fail
    pd.testing.assert_frame_equal(estimates_plans.simulation(run, pool), simulated)
    with pytest.raises(TypeError):
        estimates_plans.simulation(with_plan(run, replications=21), pool)


def test_readings_come_from_the_tables(simulated):
    table = estimates_simulated.coverage_table(simulated)
    part = simulated.query("estimand == 'share' and method == 'ppi'")["coverage"]
    row = table[(table["estimand"] == "share") & (table["method"] == "ppi")].iloc[0]
    assert row["designs"] == 8 and row["lowest"] == part.min() and row["highest"] == part.max()
    assert row["in_band"] == part.between(0.93, 0.97).sum()
    assert f"{part.min():.1%} to {part.max():.1%}" in estimates_simulated.simulation_reading(
        simulated
    )
    sizes = estimates_simulated.coverage_by_size(simulated).set_index("n_coded")
    part = simulated.query("n_coded == 40 and method == 'dsl'")["coverage"]
    assert sizes.loc[40, "DSL"] == f"{part.min():.1%} to {part.max():.1%}" and len(sizes) == 2
    worth = estimates_simulated.worth_table(simulated)
    assert set(worth["method"]) == {"ppi", "dsl"} and (worth["n_coded"] > 0).all()
    assert np.allclose(worth["gain"], worth["effective_n"] / worth["n_coded"] - 1)
    words = estimates_simulated.worth_reading(worth)
    assert words.count("60 coded texts are worth") == 4


def test_worth_compares_standard_errors(shares):
    own = estimates_plans.worth(shares)
    row = own[(own["label"] == "4") & (own["method"] == "ppi")].iloc[0]
    errors = estimates_reading.overall(shares, "crowd").query("label == '4'")
    errors = errors.set_index("method")["std_error"]
    assert row["effective_n"] == pytest.approx(
        100 * (errors["classical"] / errors["ppi"]) ** 2, 0.01
    )


def test_numbers_of_labels_fall_with_the_width_and_with_a_good_model(run, pool):
    perfect = {"crowd": pool.predicted["crowd"], "cross-fitted": pool.texts["labels"]}
    table = estimates_plans.labels_table(run, replace(pool, predicted=perfect))
    topic = table[table["label"] == "topic"].set_index(["predictor", "width"])
    for name in perfect:
        assert topic.loc[(name, 0.05), "classical"] > 3 * topic.loc[(name, 0.1), "classical"]
    assert topic.loc[("cross-fitted", 0.05), "ppi"] < topic.loc[("crowd", 0.05), "ppi"]
    crowd = topic.loc[("crowd", 0.05)]
    assert crowd["ppi"] <= crowd["ppi_cautious"] <= crowd["classical"]
    assert "safe side" in estimates_reading.labels_reading(table)


def test_a_label_that_no_coded_text_has_gets_a_reason_for_no_plan(run, pool):
    none = replace(pool, coded=pool.coded.assign(labels='"21"'))
    table = estimates_plans.labels_table(run, none)
    rows = table[table["label"] == "topic"]
    assert rows["classical"].isna().all() and (rows["note"] != "").all()
    assert rows["note"].iloc[0] in estimates_reading.labels_reading(table)


def test_the_lower_end_of_a_correlation_is_fishers():
    assert estimates_plans.correlation_low(0.6, 100) == pytest.approx(0.4575, abs=0.001)
    assert estimates_plans.correlation_low(0.05, 30) == 0
    assert estimates_plans.correlation_low(1.0, 100) < 1


# --- figures --------------------------------------------------------------------------------------


def texts_of(figure):
    return {text.get_text() for text in figure.findobj(plt.Text)}


def test_figures_draw_what_the_tables_have(run, pool, shares, simulated):
    overall = estimates_reading.overall(shares, "crowd")
    figure = drawn.share_intervals(overall, "Shares", names=CAP.label_names)
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    truth = overall.drop_duplicates("label").set_index("label")["truth"]
    assert len(ticks) == 21 and ticks[-1][:8] == CAP.label_names[truth.idxmax()][:8]
    grouped = estimates_reading.by_groups(shares, "crowd")
    names = estimates_reading.label_names(grouped)
    figure = drawn.group_shares(grouped, "Groups", names=names)
    assert sum(axes.get_visible() for axes in figure.axes) == grouped["label"].nunique()
    table, _ = estimates_regressions.regressions(run, pool)
    rows = table[table["role"] == "covariate"]
    figure = drawn.coefficients(rows, "Made up", known={"predicted": 0.5})
    assert "effect with which the outcome was made up" in texts_of(figure)
    part = simulated[(simulated["estimand"] == "share") & (simulated["accuracy"] < 0.85)]
    figure = drawn_simulation.coverage_and_width(
        part, "Coverage", names=estimates_simulated.error_names(part)
    )
    assert "the model's own errors" in texts_of(figure) and len(figure.axes) == 4
    calm = simulated[(simulated["estimand"] == "share") & (simulated["differential"] == 0)]
    assert "90% of predictions right" in texts_of(drawn_simulation.labels_worth(calm, "Worth"))


def test_figures_refuse_what_they_would_draw_wrongly(shares, simulated):
    overall = estimates_reading.overall(shares, "crowd")
    with pytest.raises(FigureError, match="choose one predictor"):
        drawn.share_intervals(pd.concat([overall, overall]), "")
    with pytest.raises(FigureError, match="unknown method"):
        drawn.share_intervals(overall.assign(method="guess").drop_duplicates("label"), "")
    with pytest.raises(FigureError, match="lacks column"):
        drawn.share_intervals(overall.drop(columns="truth"), "")
    with pytest.raises(FigureError, match="no rows"):
        drawn.group_shares(shares.head(0), "")
    with pytest.raises(FigureError, match="choose one estimand"):
        drawn_simulation.coverage_and_width(simulated, "")


# --- profile and notebook -------------------------------------------------------------------------


def test_profiles_check_the_chapters_keys(tmp_path):
    assert load_profile("demo").estimates.replications == 1000
    content = safe_load((PROFILES / "smoke.yaml").read_text(encoding="utf-8"))
    content["estimates"] |= {"replication": 5}
    path = tmp_path / "smoke.yaml"
    path.write_text(safe_dump(content), encoding="utf-8")
    with pytest.raises(ProfileError, match=r"estimates\.replication: unknown key"):
        load_profile(path)


@pytest.mark.parametrize("audited", [False, pytest.param(True, marks=pytest.mark.full)])
def test_the_notebook_runs_with_and_without_an_audit(run, tmp_path, audited):
    """The profile is the demo's, but for what the small run changed."""
    content = safe_load((PROFILES / "demo.yaml").read_text(encoding="utf-8"))
    content |= {"tasks": ["cap"], "describe_only": [], "estimates": PLAN}
    content["verification"] = {"audit": 100, "error_rate": 0.0}
    del content["what_to_finetune"]
    profile = tmp_path / "demo.yaml"
    profile.write_text(safe_dump(content), encoding="utf-8")
    shutil.copytree(run.root, tmp_path / "runs" / "demo")
    own = replace(run, root=tmp_path / "runs" / "demo")
    if not audited:
        shutil.rmtree(own.root / "verification")
    parameters = {"profile": str(profile), "root": str(tmp_path / "runs"), "tasks": "cap"}
    execute(chapter.CHAPTER, own, parameters, progress=False)
    page = (own.root / "notebooks" / "09_estimates.html").read_text(encoding="utf-8")
    made = {path.stem for path in (own.root / "tables").glob("estimates_*.csv")}
    if audited:
        assert {"estimates_shares", "estimates_regressions", "estimates_labels"} <= made
        assert len(list((own.root / "figures").glob("09_*.png"))) == 8
    else:
        assert "not run: no audit in this run: run 03_verification first" in page
        assert made == {"estimates_counts", "estimates_misplaced"}


def test_all_that_the_chapter_writes_is_listed():
    entry = load_chapters()[chapter.CHAPTER]
    assert entry.writes == ["estimates/**/*", "tables/estimates_*", "figures/09_*"]
    assert {"01_data", "02_labelling", "03_verification"} <= set(entry.needs)

"""REFORMS, modules 5 to 8: models, evaluation, metrics, limits."""

from __future__ import annotations

from helpers.baselines import BASELINES, CROWD, title
from helpers.checklist.facts import Fact, Facts, headline, interval, listed, rows_of
from helpers.comparison.reading import HEADLINES, SHOWN
from helpers.metrics import METRIC_NAMES

METRICS = "`tables/metrics.csv`, chapter 05"


def trained(facts: Facts) -> list[Fact]:
    """5a: what was trained, with method, size and loss."""
    found = []
    for task, name, made, speed in facts.trained():
        s = made["settings"]
        method = s["method"] if s["method"] == "full" else f"{s['method']} (r = {s['lora_r']})"
        learns = f"{speed['trainable_parameters']:,} parameters learn"
        found.append(
            Fact(
                f"{task}/{name}: causal language model {made['base_model']}, {method}, "
                f"{learns}, {made['data']['n_train']:,} texts, {s['epochs']} epochs, learning "
                f"rate {s['learning_rate']:g}, cross-entropy on the {s['loss_on']}",
                f"`models/{task}/{name}/manifest.json`, chapter 04",
            )
        )
    return found


def evaluated(facts: Facts) -> list[Fact]:
    """5c: one split; how many test texts."""
    splits = facts.table("data_splits")
    test = splits[splits["split"] == "test"]
    names = {task.name for task in facts.tasks}
    each = [f"{r.task} {int(r.texts):,}" for r in test.itertuples() if r.task in names]
    found = [
        Fact(
            f"one test split a task, drawn once, with gold labels: {', '.join(each)} texts",
            "`tables/data_splits.csv`, chapter 01",
        )
    ]
    plans = facts.run.profile.finetuning.tasks
    folds = [f"{t.name} {k}" for t in facts.tasks if (k := plans[t.name].cross_validation)]
    if folds:
        found.append(Fact(f"beside it cross-validation, folds: {', '.join(folds)}", "chapter 05"))
    return found


def chosen(facts: Facts) -> list[Fact]:
    """5d: the package chooses none."""
    if not facts.trained():
        return []
    return [
        Fact(
            "none is chosen: all models that the profile names are trained to their last epoch and "
            "reported; the largest is the reference of the paired tests",
            METRICS,
        )
    ]


def hyperparameters(facts: Facts) -> list[Fact]:
    """5e: where settings stand and how they came about."""
    if not facts.trained():
        return []
    name = facts.run.profile.name
    found = [Fact("all settings of every training", "`models/*/*/manifest.json`")]
    if facts.run.profile.data == "embedded":
        found.append(
            Fact("the package's settings were chosen on validation texts", "`docs/tuning.md`")
        )
    found.append(Fact("nothing is tuned in a run", f"`config/profiles/{name}.yaml`"))
    return found


def baselines(facts: Facts) -> list[Fact]:
    """5f: scores of baselines and of the best fine-tuned model."""
    found = []
    for task in facts.tasks:
        rows = headline(facts, task)
        if rows.empty:
            continue
        names = {b: title(b, task, short=True) for b in BASELINES} | {CROWD: "AI crowd, majority"}
        simple = [
            f"{names[r['model']]} {interval(r)}" for r in rows_of(rows) if r["model"] in names
        ]
        tuned = rows[(rows["fine_tuned"] == True) & ~rows["model"].str.contains("@")]  # noqa: E712
        best = f"{tuned['model'].iloc[0]} {interval(tuned.iloc[0])}" if len(tuned) else "none"
        metric = METRIC_NAMES[HEADLINES[task.label_type]]
        found.append(
            Fact(f"{task.name}, {metric}: fine-tuned {best}; {'; '.join(simple)}", METRICS)
        )
    if found:
        found.append(
            Fact(
                "baselines learn from the same texts and labels; their strength and threshold are "
                "chosen by cross-validation within them",
                "`src/helpers/baselines/`",
            )
        )
    return found


def separation(facts: Facts) -> list[Fact]:
    """6a: what sees which split."""
    return [
        Fact("splits are drawn once, before anything else", "chapter 01"),
        Fact(
            "training reads training texts, and validation texts for the validation loss alone; "
            "the crowd sees test texts without labels, and nothing is learnt from its answers "
            "there",
            "`src/helpers/experiments/trainings.py`, chapters 02 and 04",
        ),
    ]


def inputs(facts: Facts) -> list[Fact]:
    """6c: text and codebook, nothing else."""
    return [
        Fact(
            "the only inputs are the text and the codebook; no year, author or other column enters",
            "`config/tasks/`",
        )
    ]


def metrics(facts: Facts) -> list[Fact]:
    """7a: metrics by type of label."""
    found = []
    for task in facts.tasks:
        if facts.of("metrics", task).empty:
            continue
        names = [METRIC_NAMES[m] for m in SHOWN[task.label_type]]
        main = METRIC_NAMES[HEADLINES[task.label_type]]
        found.append(
            Fact(
                f"{task.name}: {', '.join(names)}; {main} sums the task up; scores by label beside",
                "`tables/metrics.csv`, `per_class.csv`, chapter 05",
            )
        )
    return found


def uncertainty(facts: Facts) -> list[Fact]:
    """7b: how intervals are made, and what they leave out."""
    if not any(len(facts.of("metrics", task)) for task in facts.tasks):
        return []
    profile = facts.run.profile
    found = [
        Fact(
            f"95% percentile bootstrap over test texts, {profile.bootstrap:,} resamples, for every "
            "score, also by label",
            METRICS,
        ),
        Fact(
            f"one training seed ({profile.seed}): intervals do not hold what another seed would "
            "change; chapter 06 trains several",
            "`tables/training_size_scores.csv`",
        ),
    ]
    for task in facts.tasks:
        rows = headline(facts, task)
        if len(rows):
            width = (rows["ci_high"] - rows["ci_low"]).max()
            found.append(
                Fact(f"{task.name}: intervals of the headline score are up to {width:.3f} wide")
            )
    return found


def tests(facts: Facts) -> list[Fact]:
    """7c: paired tests."""
    table = facts.table("paired_tests")
    if table.empty:
        return []
    found = []
    for name, rows in table.groupby("test"):
        small = int((rows["p_holm"] < 0.05).sum()) if "p_holm" in rows else 0
        found.append(
            Fact(
                f"{name}: {len(rows)} comparisons on the same texts, {small} with p < 0.05 after "
                "Holm's correction within a task and score",
                "`tables/paired_tests.csv`, chapter 05",
            )
        )
    found.append(Fact("texts are taken as independent of each other; see 6b"))
    return found


def external(facts: Facts) -> list[Fact]:
    """8a: a run tests on texts of its own source."""
    return [Fact("none in this run: the test texts come from the same source as the others")]


def limits(facts: Facts) -> list[Fact]:
    """8b: the labels that the reference model is worst at."""
    found = []
    for task in facts.tasks:
        models = facts.run.profile.finetuning.tasks[task.name].models
        rows = facts.of("per_class", task)
        if rows.empty:
            continue
        keep = (rows["model"] == f"{models[-1]}-ft") & (rows["split"] == "test")
        f1 = rows[keep & (rows["metric"] == "f1") & (rows["support"] > 0)]
        never = f1[f1["value"].isna()]["name"].tolist()
        worst = f1.dropna(subset=["value"]).sort_values(["value", "name"]).head(3)
        each = [f"{row['name']} {interval(row, digits=2)}" for row in rows_of(worst)]
        text = f"{task.name}, {models[-1]}-ft: "
        text += f"never right about {listed(never)}; " if never else ""
        text += f"lowest F1 for {listed(each)}"
        found.append(Fact(text, "`tables/per_class.csv`, chapter 05"))
    if facts.run.profile.data == "embedded":
        found.append(Fact("in any real text: see 1a"))
    return found

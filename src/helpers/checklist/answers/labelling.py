"""The list for labels made by language models: A and E, what was asked, cost and left the house."""

from __future__ import annotations

import gzip

from helpers.checklist.facts import Fact, Facts, listed, rows_of
from helpers.models import get_model
from helpers.plans import Endpoint, Labeller


def _crowd(facts: Facts) -> dict[str, Labeller]:
    plan = facts.run.profile.labelling
    names = [n for task in facts.tasks for n in plan.crowd.get(task.name, [])]
    names += [n for task in facts.tasks for n in plan.compared.get(task.name, [])]
    return {name: plan.labellers[name] for name in dict.fromkeys(names)}


def prompts(facts: Facts) -> list[Fact]:
    """A1: where codebooks and prompts stand."""
    found = [
        Fact(f"{task.name}: prompts and codebook", f"`config/tasks/{task.name}.yaml`")
        for task in facts.tasks
    ]
    methods = sorted({labeller.method for labeller in _crowd(facts).values()})
    if methods:
        found.append(
            Fact(
                f"ways of asking: {', '.join(methods)}; chapter 02 shows each prompt",
                "`src/helpers/labelling/methods.py`",
            )
        )
    return found


def versions(facts: Facts) -> list[Fact]:
    """A2: the labellers."""
    found = []
    for name, labeller in _crowd(facts).items():
        what = {
            "encoder": "zero-shot sentence encoder of the package, weights known by SHA-256",
            "local": f"language model {labeller.model}, on this machine",
            "endpoint": f"{labeller.model} at endpoint `{labeller.endpoint}`",
        }[labeller.kind]
        found.append(Fact(f"{name}: {what}; method {labeller.method}, reads {labeller.view}"))
    local = [one.model for one in _crowd(facts).values() if one.kind == "local"]
    for key in dict.fromkeys(local):
        if (spec := get_model(key)).source == "hub":
            found.append(
                Fact(f"{key}: {spec.repository} at {spec.revision}", "`config/models.yaml`")
            )
    return found


def settings(facts: Facts) -> list[Fact]:
    """A3: sampling of those that write."""
    found = []
    for name, one in _crowd(facts).items():
        if one.kind != "encoder":
            found.append(
                Fact(
                    f"{name}: temperature {one.temperature:g}, seed {one.sampling_seed}, at most "
                    f"{one.max_tokens} tokens"
                )
            )
    return found or [Fact("no labeller of the crowd writes: encoders have no such settings")]


def statuses(facts: Facts) -> list[Fact]:
    """A4: answers by status."""
    table, found = facts.table("labelling_status"), []
    if table.empty:
        return []
    for task in facts.tasks:
        rows = facts.of("labelling_status", task)
        if rows.empty:
            continue
        bad = rows[rows["status"] != "ok"]
        each = [f"{r.labeller} {int(r.texts)} {r.status}" for r in bad.itertuples()]
        total = int(rows["texts"].sum())
        text = f"{task.name}: {int(bad['texts'].sum()):,} of {total:,} answers are no label"
        where = "`tables/labelling_status.csv`, chapter 02"
        found.append(Fact(text + (f" ({listed(each)})" if each else ""), where))
    found.append(
        Fact("an error is never turned into a label", "`src/helpers/labelling/parsing.py`")
    )
    return found


def archived(facts: Facts) -> list[Fact]:
    """A5: archived responses."""
    files = sorted((facts.run.root / "responses").glob("*/*/*.jsonl.gz"))
    names = {task.name for task in facts.tasks}
    found = []
    for path in files:
        task, model = path.parts[-3:-1]
        if task in names:
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                n = sum(1 for _ in lines)
            where = f"`responses/{task}/{model}/{path.name}`"
            found.append(Fact(f"{task}, {model}: {n:,} raw answers", where))
    if found:
        found.append(Fact("`labelling.responses: replay` repeats the run from them, offline"))
    return found


def chosen_on(facts: Facts) -> list[Fact]:
    """A6: the package chooses no prompt in a run."""
    if facts.table("labelling_scores").empty:
        return []
    return [
        Fact("a run chooses no prompt and no labeller: all that the profile names take part"),
        Fact("labellers are scored on training texts, never on test texts", "chapter 02"),
    ]


def costs(facts: Facts) -> list[Fact]:
    """E1: requests, tokens, money, time."""
    table, found = facts.table("endpoints", "performance"), []
    for row in rows_of(table):
        where = "`performance/endpoints.csv`"
        head = f"{row['task']}, {row['model']}: {int(row['requests']):,} requests"
        tokens = int(row["prompt_tokens"] + row["completion_tokens"])
        found.append(Fact(f"{head}, {tokens:,} tokens, {row['usd']:.2f} dollars", where))
        found.append(Fact(f"{head}, {row['wall_seconds']:.0f} s", where, varies=True))
    limit = facts.run.profile.labelling.budget_usd
    if limit is not None and _crowd(facts):
        found.append(Fact(f"hard limit: {limit:g} dollars", "`labelling.budget_usd`"))
    return found


def privacy(facts: Facts) -> list[Fact]:
    """E2: where texts go."""
    plan = facts.run.profile.labelling
    asked = {x.endpoint for x in _crowd(facts).values() if x.kind == "endpoint"}
    remote = [
        n for n in sorted(asked) if not plan.endpoints[n].serve and not _here(plan.endpoints[n])
    ]
    if facts.run.profile.offline or not remote:
        return [Fact("no text left the machine: all models ran on it", "profile, `offline`")]
    return [Fact(f"texts were sent to: {', '.join(remote)}", "`config/labellers.yaml`")]


def _here(endpoint: Endpoint) -> bool:
    return any(host in endpoint.base_url for host in ("localhost", "127.0.0.1"))


def access(facts: Facts) -> list[Fact]:
    """E3: weights that can be shared."""
    each = [f"{task}/{name}" for task, name, _, _ in facts.trained()]
    if not each:
        return []
    return [
        Fact(f"weights of {listed(each)}", "`models/`"),
        Fact("`python -m helpers.share push` writes folder and model card", "`docs/sharing.md`"),
    ]

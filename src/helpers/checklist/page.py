"""Put a checklist into Markdown."""

from __future__ import annotations

from collections import Counter

from helpers.checklist.answers import ANSWERS
from helpers.checklist.facts import Fact, Facts
from helpers.checklist.items import ITEMS, Item

HEAD = """\
# Checklists

Two lists of what a reader of an article with machine-made labels wants to know. What a run can
answer is answered from its files, with the place; what it cannot know is left for the author, with
what to think about. Items that the run answers in part have both.

- **REFORMS**: Kapoor et al. (2024), "REFORMS: Consensus-based Recommendations for
  Machine-learning-based Science", Science Advances 10(18), eadk3452
  (doi:10.1126/sciadv.adk3452): 32 items in eight modules. Numbers and order are theirs; **the
  wording is ours, shortened**: read theirs before you tick a box.
- **Labels made by language models**: our list. It draws on Pangakis, Wolken and Fasching (2023) on
  checking labels against people; Egami, Hinck, Stewart and Wei (2023, design-based supervised
  learning) and Angelopoulos, Duchi and Zrnic (2023, PPI++) on estimates from labels with errors;
  Barrie, Palmer and Spirling on models that change and answers that must be archived; and the
  2025 work on "LLM hacking": conclusions that vary with prompt and model.

`python -m helpers.checklist --profile NAME` writes this page for a run. Paths are below
`runs/<profile>/` unless they begin with `config/`, `data/`, `docs/` or `src/`; intervals are 95%.
"""
AUTHOR = "*For the author to write.*"
VARIES = "in this run: "


def page(facts: Facts) -> str:
    """Return the whole page for a run."""
    return "\n".join(_lines(facts)).rstrip() + "\n"


def static_lines() -> list[str]:
    """Return the lines that do not depend on a run, in their order."""
    return [line for line in _lines(None) if line.strip()]


def answered(facts: Facts) -> dict[str, int]:
    """Count items by who answers them: ``run``, ``both``, ``author``."""
    counts = Counter(_who(item, ANSWERS[item.number](facts)) for item in _items())
    return {who: counts[who] for who in ("run", "both", "author")}


def _items() -> list[Item]:
    return [item for modules in ITEMS.values() for items in modules.values() for item in items]


def _who(item: Item, found: list[Fact]) -> str:
    if not found:
        return "author"
    return "both" if item.think else "run"


def _lines(facts: Facts | None) -> list[str]:
    lines = HEAD.splitlines()
    if facts is not None:
        lines += ["", *_overview(facts)]
    for title, modules in ITEMS.items():
        lines += ["", f"## {title}"]
        for module, items in modules.items():
            lines += ["", f"### {module}"]
            for item in items:
                lines += ["", f"**{item.number}. {item.asks}**", ""]
                found = ANSWERS[item.number](facts) if facts is not None else []
                lines += [_bullet(fact) for fact in found]
                if item.think:
                    lines.append(f"- {AUTHOR} {item.think}")
                elif facts is not None and not found:
                    lines.append(f"- {AUTHOR} This run has no results for it.")
    return lines


def _bullet(fact: Fact) -> str:
    where = f" ({fact.where})" if fact.where else ""
    return f"- {VARIES if fact.varies else ''}{fact.text}{where}"


def _overview(facts: Facts) -> list[str]:
    run = facts.run
    lines = [
        f"**Profile `{run.profile.name}`** ({run.profile.title}); tasks: "
        f"{', '.join(task.name for task in facts.tasks)}; chapters done: {len(facts.done)}.",
    ]
    if run.profile.data == "embedded":
        lines.append(
            "The texts were written for the package: the answers show what a finished checklist "
            "looks like; they are about no real study."
        )
    lines += [
        "",
        "| list | answered from the run | in part | for the author |",
        "|---|---|---|---|",
    ]
    for title, modules in ITEMS.items():
        items = [item for part in modules.values() for item in part]
        counts = Counter(_who(item, ANSWERS[item.number](facts)) for item in items)
        lines.append(f"| {title} | {counts['run']} | {counts['both']} | {counts['author']} |")
    return lines

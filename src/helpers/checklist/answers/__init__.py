"""What a run answers, item by item; an empty list leaves the item to the author."""

from __future__ import annotations

from collections.abc import Callable

from helpers.checklist.answers import data, labelling, models, reproducing, validity
from helpers.checklist.facts import Fact, Facts

Answer = Callable[[Facts], list[Fact]]


def nothing(_: Facts) -> list[Fact]:
    """Leave the item to the author."""
    return []


ANSWERS: dict[str, Answer] = {
    "1a": data.population,
    "1b": nothing,
    "1c": nothing,
    "2a": reproducing.texts,
    "2b": reproducing.code,
    "2c": reproducing.machine,
    "2d": reproducing.readme,
    "2e": reproducing.script,
    "3a": data.source,
    "3b": data.sampling,
    "3c": nothing,
    "3d": data.outcome,
    "3e": data.sizes,
    "3f": data.missing,
    "3g": data.representative,
    "4a": data.left_out,
    "4b": data.broken,
    "4c": data.transformed,
    "5a": models.trained,
    "5b": nothing,
    "5c": models.evaluated,
    "5d": models.chosen,
    "5e": models.hyperparameters,
    "5f": models.baselines,
    "6a": models.separation,
    "6b": data.duplicates,
    "6c": models.inputs,
    "7a": models.metrics,
    "7b": models.uncertainty,
    "7c": models.tests,
    "8a": models.external,
    "8b": models.limits,
    "A1": labelling.prompts,
    "A2": labelling.versions,
    "A3": labelling.settings,
    "A4": labelling.statuses,
    "A5": labelling.archived,
    "A6": labelling.chosen_on,
    "B1": validity.audit,
    "B2": validity.scores,
    "B3": validity.coders,
    "B4": validity.anchoring,
    "B5": validity.missed,
    "C1": validity.agreement,
    "C2": validity.prompt_sensitivity,
    "C3": validity.model_sensitivity,
    "C4": nothing,
    "D1": validity.corrected,
    "D2": validity.uncorrected,
    "E1": labelling.costs,
    "E2": labelling.privacy,
    "E3": labelling.access,
}

"""Reporting checklists, answered from a finished run where they can be.

``python -m helpers.checklist --profile demo``: REFORMS (Kapoor et al. 2024, Science Advances
10(18), eadk3452) and a checklist for labels made by language models. What a run cannot know is
marked as for the author to write.
"""

from helpers.checklist.facts import ChecklistError, Facts, read_facts
from helpers.checklist.items import ITEMS, Item
from helpers.checklist.page import answered, page, static_lines

__all__ = [
    "ITEMS",
    "ChecklistError",
    "Facts",
    "Item",
    "answered",
    "page",
    "read_facts",
    "static_lines",
]

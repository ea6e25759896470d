"""The landing notebook: is everything installed, what is there, and where to go from here.

Imports nothing heavy: `00_start_here` must open in seconds, also where torch is missing.
"""

from helpers.start.book import chapter_map, chapter_state, links
from helpers.start.checks import Check, installation, verdict
from helpers.start.results import Results, find_results

__all__ = [
    "Check",
    "Results",
    "chapter_map",
    "chapter_state",
    "find_results",
    "installation",
    "links",
    "verdict",
]

"""A task of a user's own: from a messy table to a task, its texts, a codebook and a profile.

``make new-task`` or ``python -m helpers.newtask``; docs/own-texts.md has an example.
"""

from helpers.newtask.errors import NewTaskError
from helpers.newtask.make import Made, Request, make_task

__all__ = ["Made", "NewTaskError", "Request", "make_task"]

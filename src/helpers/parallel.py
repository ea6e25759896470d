"""Run independent pieces of work side by side in processes of their own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar

from helpers.profiles import HelpersError

Item = TypeVar("Item")
Result = TypeVar("Result")

# glibc: large blocks go back to the system at once, 200 MB less at the peak of a worker, as fast.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4000000"}


PARENT_CHECK = 1.0  # seconds


class WorkFailed(HelpersError):
    """Some pieces of work failed; the others are finished and kept."""


def side_by_side(
    function: Callable[[Item], Result],
    items: Mapping[str, Item],
    *,
    workers: int,
    title: str,
    progress: bool = True,
    fresh: bool = False,
) -> dict[str, Result]:
    """Apply a function to each item, several at a time.

    Parameters
    ----------
    function : importable by name (it runs in a fresh process).
    items : name -> argument; put the longest work first.
    workers : processes at a time.
    title : of the progress bar and in error messages.
    fresh : a new process for each item (memory of the one before is gone), not for each worker.

    Returns
    -------
    name -> result, in the order of `items`.

    Raises
    ------
    WorkFailed
        If any piece failed: names each and its error. The others have finished.
    """
    from tqdm.auto import tqdm

    os.environ.update({k: v for k, v in MALLOC.items() if k not in os.environ})
    done: dict[str, Result] = {}
    failed: dict[str, str] = {}
    pool_of = ProcessPoolExecutor(
        workers,
        get_context("spawn"),
        initializer=_watch_parent,
        initargs=(os.getpid(),),
        max_tasks_per_child=1 if fresh else None,
    )
    with (
        pool_of as pool,
        tqdm(total=len(items), desc=title, disable=not progress) as bar,
    ):
        futures = {pool.submit(function, item): name for name, item in items.items()}
        for future in as_completed(futures):
            name, error = futures[future], future.exception()
            if error is None:
                done[name] = future.result()
            else:
                failed[name] = f"{type(error).__name__}: {error}"
            bar.set_postfix_str(name)
            bar.update()
    if failed:
        lines: list[Any] = [f"{len(failed)} of {len(items)} {title} failed (the others are kept):"]
        raise WorkFailed("\n".join([*lines, *(f"  {k}: {v}" for k, v in failed.items())]))
    return {name: done[name] for name in items}


def in_background(function: Callable[[Item], Result], item: Item) -> Future[Result]:
    """Start a function in a process of its own and go on; its ``result()`` waits, or raises.

    Parameters
    ----------
    function : importable by name (it runs in a fresh process).
    item : its argument.
    """
    pool = ProcessPoolExecutor(
        1, get_context("spawn"), initializer=_watch_parent, initargs=(os.getpid(),)
    )
    future = pool.submit(function, item)
    pool.shutdown(wait=False)  # the process ends when the function has
    return future


def _watch_parent(parent: int) -> None:
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()


def end_with(parent: int) -> None:
    """End this process when its parent is gone: a killed run must not go on computing unseen."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK)
    os._exit(1)

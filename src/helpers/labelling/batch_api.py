"""OpenAI's Batch API: large jobs at half the price, worked through within a day.

What was submitted is never submitted again. A token is saved before a batch is created, and sent
along with it: a process that was killed at any moment finds its batch again, by the saved name or,
where that was not saved yet, by the token.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from helpers.labelling.batch_calls import BatchError, BatchServer, NotThere, Patience
from helpers.labelling.batch_results import read_results, refusal, result_row, row
from helpers.labelling.batch_submit import Limits, Running, Submitter
from helpers.labelling.costs import BudgetReached
from helpers.labelling.questions import Asked, Response
from helpers.labelling.sending import Setup
from helpers.labelling.store import ResponseStore

if TYPE_CHECKING:
    from openai.types import Batch as ServerBatch

__all__ = ["BatchError", "BatchReport", "Limits", "Patience", "fetch_batch"]

ENDED = ("completed", "expired", "cancelled", "failed")
# A round that the budget allows less than this share of what is missing is not worth its wait.
WORTHWHILE = 0.1
# Two threads could both find a question unasked; one that was submitted is found by both.
_SUBMITTING = threading.Lock()


@dataclass
class BatchReport:
    """What became of a call of `fetch_batch`.

    Attributes
    ----------
    submitted, resumed : batches created now, and batches of an earlier run that were picked up.
    answered, errors : results saved now.
    unanswered : requests of ended batches without a result (expired, cancelled): still missing.
    unknown, broken : lines of result files that name no request of the batch, or are no result.
    notes : what the user should know, in sentences.
    responses : key -> response for all that was asked; those without a result have status
        ``error`` and are not in the store.
    """

    submitted: int = 0
    resumed: int = 0
    answered: int = 0
    errors: int = 0
    unanswered: int = 0
    unknown: int = 0
    broken: int = 0
    notes: list[str] = field(default_factory=list)
    responses: dict[str, Response] = field(default_factory=dict)


def fetch_batch(
    setup: Setup,
    store: ResponseStore,
    asked: Mapping[str, Asked],
    *,
    patience: Patience | None = None,
    limits: Limits | None = None,
    progress: bool = False,
) -> BatchReport:
    """Bring the answers that the store lacks into it, through the Batch API, and wait for them.

    Batches of earlier runs that hold missing answers are picked up first. Under a budget only as
    much is submitted as cannot exceed it in the worst case; what that turns out to leave is used
    for another round. An interrupt (Ctrl-C) leaves the batches running; the next call waits on.

    Parameters
    ----------
    setup : who is asked; its address was checked (`helpers.labelling.network.check_address`).
    asked : request key -> question.
    patience : seconds to wait for what.
    limits : of an input file.

    Raises
    ------
    BatchError
        If the server refuses a file or call, or cannot be reached for long.
    BudgetReached
        When all that was submitted is saved, and the rest could exceed the budget.
    PriceError
        If there is a budget, and the price is unknown.

    Warns
    -----
    UserWarning
        If results are missing or unusable; the next run asks for the missing ones again.
    """
    patience = patience or Patience()
    server = BatchServer(setup, patience)
    submitter = Submitter(setup, store, server, dict(asked), limits or Limits())
    job = _Job(setup, store, server, submitter, patience, progress)
    try:
        job.run()
    finally:
        submitter.give_back()
        server.close()
        job.report.submitted, job.report.resumed = submitter.submitted, submitter.resumed
        if job.report.notes:
            warnings.warn("\n".join(job.report.notes), stacklevel=2)
    job.report.responses = job.responses()
    return job.report


@dataclass
class _Job:
    """The work of one call of `fetch_batch`."""

    setup: Setup
    store: ResponseStore
    server: BatchServer
    submitter: Submitter
    patience: Patience
    progress: bool
    report: BatchReport = field(default_factory=BatchReport)
    ended: set[str] = field(default_factory=set)  # tokens of batches that were read
    failures: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Submit and wait until nothing is missing that could still be asked."""
        submitter, stop = self.submitter, None
        while True:
            with _SUBMITTING:
                running = submitter.resume(self.ended)
                taken = submitter.tried.union(*(item.record.keys for item in running))
                free = [key for key in submitter.missing() if key not in taken]
                todo = submitter.claim(free)
                if stop and todo and not running:
                    self.check_worthwhile(todo, stop)
                stop = submitter.submit(todo, running)
            if running:
                self.wait(running)
            elif stop:
                raise stop
            elif not free:
                return
            else:
                time.sleep(self.patience.first)  # another process is asking for them
            if self.failures:
                raise BatchError("\n".join(self.failures))

    def check_worthwhile(self, todo: list[str], stop: BudgetReached) -> None:
        """Go on only if what is left of the budget allows a good part of what is missing."""
        if not self.submitter.is_worthwhile(todo, WORTHWHILE):
            raise stop

    def responses(self) -> dict[str, Response]:
        """Return all responses, with an error in place of those that are missing."""
        wanted = self.submitter.wanted
        found, error = self.store.get(list(wanted)), "its batch ended without a result for it"
        lacking = {"status": "error", "error": error}
        return {k: found.get(k) or row(self.setup, k, wanted[k], **lacking) for k in wanted}

    def wait(self, running: list[Running]) -> None:
        """Wait for all batches, and read each when it ends."""
        from tqdm.auto import tqdm

        total, pause = sum(len(item.record.keys) for item in running), self.patience.first
        with tqdm(
            total=total, desc=f"{self.setup.name} (batch)", unit="answer", disable=not self.progress
        ) as bar:
            left = list(running)
            while left:
                for item in list(left):
                    batch = self.look(item)
                    counts = batch.request_counts
                    item.completed = counts.completed + counts.failed if counts else 0
                    if batch.status in ENDED:
                        self.read(item, batch)
                        left.remove(item)
                bar.update(sum(item.completed for item in running) - bar.n)
                if left:
                    time.sleep(pause)
                    pause = min(1.5 * pause, self.patience.longest)

    def look(self, item: Running) -> ServerBatch:
        """Return a batch as it is now."""
        try:
            return self.server.retrieve(item.batch_id)
        except NotThere as error:
            raise BatchError(
                f"{error}\nBatch {item.batch_id} was submitted, but is not known to the server. "
                "Use the API key of the account that submitted it. To give it up, and pay for its "
                f"{len(item.record.keys)} questions again, call update_batch('{item.record.token}'"
                f", status='done') of ResponseStore('{self.store.path.name}')."
            ) from None

    def read(self, item: Running, batch: ServerBatch) -> None:
        """Save the results of a batch that has ended, and note what it lacks."""
        token, keys = item.record.token, item.record.keys
        files = {"output_file": batch.output_file_id, "error_file": batch.error_file_id}
        results = read_results(self.download(item, files), keys)
        missing = set(self.submitter.missing())
        asked = {key: self.submitter.wanted[key] for key in keys if key in missing}
        found = [
            (key, one, results.found[key]) for key, one in asked.items() if key in results.found
        ]
        made = [result_row(self.setup, key, one, result, batch) for key, one, result in found]
        rows = [one for one in made if one is not None]
        for saved in [self.store.save(one) for one in rows]:
            saved.result()
        self.submitter.settle(item.reserved, sum(map(self.cost, rows)))
        self.submitter.tried.update(one.key for one in rows)
        self.ended.add(token)
        # A batch with results that nobody asked for now is kept open: they are paid for.
        is_read = batch.status == "failed" or self.submitter.wanted.keys() >= set(keys)
        self.store.update_batch(token, **files, status="done" if is_read else batch.status)
        self.report.errors += sum(one.status == "error" for one in rows)
        self.report.answered += sum(one.status != "error" for one in rows)
        self.report.unknown += results.unknown
        self.report.broken += results.broken
        if batch.status == "failed":
            wanted = self.submitter.wanted
            texts = [wanted[key].text_id if key in wanted else "?" for key in keys]
            self.failures.append(refusal(self.setup, batch, texts))
        else:
            lacking = len(asked) - len(rows)
            self.report.unanswered += lacking
            self.note(batch, lacking, results.unknown, results.broken)

    def download(self, item: Running, files: dict[str, str | None]) -> list[bytes]:
        """Return the contents of a batch's result files."""
        try:
            return [self.server.download(file) for file in files.values() if file]
        except NotThere as error:
            self.store.update_batch(item.record.token, status="done")
            raise BatchError(
                f"{error}\nThe results of batch {item.batch_id} are no longer on the server (it "
                "keeps them for some weeks). The next run asks, and pays, for them again."
            ) from None

    def cost(self, response: Response) -> float:
        """Return what a row counts in the budget: the most, where the server did not say."""
        if response.cost is None and response.status != "error":
            return self.submitter.request(response.key)[1] or 0.0
        return response.cost or 0.0

    def note(self, batch: ServerBatch, lacking: int, unknown: int, broken: int) -> None:
        """Note for the user what is missing or wrong in a batch's results."""
        if lacking:
            self.report.notes.append(
                f"batch {batch.id} ({batch.status}): {lacking} requests have no result, and are "
                "still missing; those that have one are saved. Run again to ask for the rest."
            )
        if unknown or broken:
            self.report.notes.append(
                f"batch {batch.id}: {unknown} results name no request of ours, and {broken} lines "
                "are no results; they were left out."
            )

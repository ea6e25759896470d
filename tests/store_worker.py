"""What the tests of the response store let other processes do, until they are done or killed."""

import os
import resource
import threading
import time
from pathlib import Path

from helpers.labelling.questions import Response, sha256
from helpers.labelling.store import ResponseStore, StoreError


def response(name: object, **changes: object) -> Response:
    """Return a response with all fields filled in, for a request of this name."""
    values = {
        "key": sha256(str(name)),
        "task": "cap",
        "method": "v4",
        "step": "majors",
        "prompt": "0123456789abcdef",
        "text_id": str(name),
        "text_sha256": sha256(f"text {name}"),
        "endpoint": "http://localhost:8000/v1",
        "model": "a/model:8b",
        "sampling": '{"temperature": 0.0}',
        "schema": "",
        "status": "ok",
        "content": f'{{"label": "{name}"}}',
        "finish_reason": "stop",
        "confidence": 0.1 + 0.2,
        "served_model": "a/model",
        "fingerprint": "fp_1",
        "prompt_tokens": 90,
        "completion_tokens": 5,
        "cost": 0.25,
        "asked_at": "2026-01-02T03:04:05Z",
        "seconds": 0.5,
        "extra": {"id": "cmpl-1", "nested": [1, {"ü": None}]},
    }
    return Response(**{**values, **changes})


def note(path: Path, names: list[str]) -> None:
    """Append lines in one write. They outlive the death of this process (not of the machine)."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, "".join(f"{name}\n" for name in names).encode())
    os.close(file)


def noted(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def save_until_killed(folder: Path, label: str, pending: list[str]) -> None:
    """Ask for pending and then for ever new answers on eight threads; note what was asked and
    what the store acknowledged."""
    store = ResponseStore(folder / "responses.sqlite")
    rest = iter([pending[i : i + 5] for i in range(0, len(pending), 5)])
    guard = threading.Lock()

    def work(thread: int) -> None:
        number = 0
        while True:
            with guard:
                names = next(rest, None)
            if names is None:
                names = [f"{label}-{thread}-{number}-{i}" for i in range(5)]
                number += 1
            free = store.claim([sha256(name) for name in names]).result()
            names = [name for name in names if sha256(name) in free]
            if names:
                note(folder / "asked", [f"{label} {name}" for name in names])
            for name, future in [(name, store.save(response(name))) for name in names]:
                future.result()
                note(folder / "acknowledged", [name])

    for thread in range(8):
        threading.Thread(target=work, args=(thread,)).start()


def answer_all(folder: Path, names: list[str], label: str, start: threading.Barrier) -> None:
    """Claim, ask and answer until every one of the names has an answer, by whomever."""
    with ResponseStore(folder / "responses.sqlite") as store:
        start.wait()
        keys = {sha256(name): name for name in names}
        while left := sorted(keys.keys() - store.get(list(keys)).keys()):
            for first in range(0, len(left), 20):
                free = store.claim(left[first : first + 20]).result()
                note(folder / "asked", [f"{label} {keys[key]}" for key in sorted(free)])
                time.sleep(0.002)  # the server thinks
                for future in [store.save(response(keys[key])) for key in sorted(free)]:
                    future.result()


def claim_and_wait(folder: Path, names: list[str]) -> None:
    """Claim, tell, and never answer."""
    store = ResponseStore(folder / "responses.sqlite")
    store.claim([sha256(name) for name in names]).result()
    note(folder / "claimed", names)
    time.sleep(600)


def save_into_small_space(folder: Path) -> None:
    """Save until the system lets no file grow further; then note the error."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    store = ResponseStore(folder / "responses.sqlite")
    try:
        for number in range(10_000):
            store.save(response(number)).result()
            note(folder / "acknowledged", [str(number)])
    except StoreError as error:
        note(folder / "error", [str(error)])

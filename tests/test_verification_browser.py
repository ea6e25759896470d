"""The review widget in a real browser: JupyterLab in headless chromium, driven by the keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab_server import FLAGS, Lab, find_browser, serve, write_notebook
from review_example import example

from helpers.tasks import load_task

GUARD = 420  # ms; an Enter that comes sooner after a new text is the second of a double press
OpenNotebook = Callable[..., Lab]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenNotebook]:
    """Open a notebook whose cell builds `example` with some options; one server for all tests."""
    chromium = find_browser()
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("lab")
    with serve(folder) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})

        def opened(file: str, logs: Path, **options: Any) -> Lab:
            write_notebook(
                folder / "notebooks" / file,
                "from review_example import example",
                "from helpers.verification.widget import review",
                f"review(example({str(logs)!r}, **{options!r}))",
            )
            lab = Lab(page, address, file)
            lab.open()
            lab.run_all()
            lab.focus()
            return lab

        yield opened
        browser.close()


def press(lab: Lab, *keys: str) -> None:
    for key in keys:
        lab.page.keyboard.press(key)


def says(lab: Lab, text: str) -> None:
    """Wait until the status line says this."""
    lab.page.locator(".review-said", has_text=text).wait_for(timeout=20_000)


def shown(lab: Lab, text: str) -> None:
    lab.page.locator(".review", has_text=text).wait_for(timeout=20_000)


def decide(lab: Lab, number: int, *keys: str) -> None:
    """Press keys and Enter, and wait for the acknowledgement that this many texts are saved."""
    lab.page.wait_for_timeout(GUARD)
    press(lab, *keys, "Enter")
    says(lab, f"Saved {number}")


@pytest.mark.full
def test_thirty_decisions_by_keyboard_survive_a_reload_and_a_restart(notebook, tmp_path):
    lab = notebook("reject.ipynb", tmp_path, texts=40)
    page, items = lab.page, list(example(tmp_path, texts=40).items.values())
    cells = page.locator(".jp-Cell").count()
    rejected: dict[str, set[int]] = {}

    def go(numbers: range) -> None:
        for i in numbers:
            several = len(items[i].proposals)
            keys, marks = [(["1"], {0}), ([], set()), (["a"], set(range(several)))][i % 3]
            decide(lab, i + 1, *keys)
            rejected[items[i].text_id] = marks

    go(range(9))
    press(lab, "n", *"Unclear: <b>both</b>", "Enter")
    says(lab, "Note saved.")
    page.wait_for_timeout(GUARD)
    press(lab, "x", "d", "d", "z", "Shift+Enter", "Control+Enter")  # cut, delete, undo, run
    press(lab, "Enter", "Enter", "Enter")  # a nervous finger decides one text only
    says(lab, "Saved 10")
    rejected[items[9].text_id] = set()
    page.wait_for_timeout(GUARD)
    press(lab, "1", "Control+s")  # marked, not confirmed; Control+s stays JupyterLab's
    page.wait_for_selector(".jp-DirtyIndicator, .jp-mod-dirty", state="detached")

    lab.open()  # the kernel goes on
    shown(lab, "10 of 40 decided")
    assert page.locator("[aria-checked=false]").count() == 1
    assert page.locator(".review-text").inner_text() == items[10].text
    assert page.locator(".jp-Cell").count() == cells
    lab.focus()
    page.wait_for_timeout(GUARD)
    press(lab, "Enter")
    says(lab, "Saved 11")
    rejected[items[10].text_id] = {0}
    go(range(11, 20))
    page.wait_for_timeout(GUARD)
    press(lab, "u")
    says(lab, f"Taken back: {items[19].text_id}")
    page.screenshot(path=tmp_path / "undone.png")
    assert page.locator("[aria-checked=false]").count() == len(rejected[items[19].text_id])

    lab.restart()
    page.wait_for_timeout(GUARD)
    press(lab, "Enter")  # this widget's kernel is gone: it must not look as if it were saved
    shown(lab, "Run this cell again: what was saved is kept.")
    lab.run_again()
    shown(lab, "19 of 40 decided")
    lab.focus()
    go(range(19, 30))
    page.screenshot(path=tmp_path / "thirty.png")

    log = example(tmp_path, texts=40).log
    wanted = [
        (item.text_id, "reject" if i in rejected[item.text_id] else "accept", proposal.label)
        for item in items[:30]
        for i, proposal in enumerate(item.proposals)
    ]
    kept = log.effective()
    assert [(d.text_id, d.action, d.label) for d in kept if d.action != "note"] == wanted
    notes = [(d.text_id, d.comment) for d in kept if d.action == "note"]
    assert notes == [(items[9].text_id, "Unclear: <b>both</b>")]
    assert {d.text_id for d in log.read() if d.action == "undo"} == {items[19].text_id}
    assert example(tmp_path, texts=40).progress().done == 30


def test_blind_coding_and_correcting_by_keyboard_and_a_full_disk(notebook, tmp_path):
    options = {"name": "flourishing", "texts": 4, "blind": 1, "mode": "correct", "markup": True}
    lab = notebook("correct.ipynb", tmp_path, **options)
    page = lab.page
    page.wait_for_timeout(GUARD)
    press(lab, "Enter")
    shown(lab, "Not saved. Give the right label with /, or press 0 if none applies")
    press(lab, "/", *"grat", "Enter", "2", "Enter", "/", *"hope", "Enter", *"hi", "Enter")
    page.screenshot(path=tmp_path / "blind.png")
    decide(lab, 1)

    page.wait_for_timeout(GUARD)
    proposed = example(tmp_path, **options).current().proposals[0]
    other = next(x for x in load_task("flourishing").levels if x != proposed.level)
    (tmp_path / "full").touch()
    # Another level of a proposed label: the proposal is rejected, the label given.
    press(lab, "/", *proposed.name, "Enter", *other, "Enter", "Enter")
    shown(lab, "No space left on device")
    assert page.get_by_role("alert").count() == 1
    page.screenshot(path=tmp_path / "full.png")
    shown(lab, "1 of 4 decided")
    (tmp_path / "full").unlink()
    press(lab, "Enter")
    says(lab, "Saved 2")

    assert page.evaluate("window.injected") is None, "texts must not become markup"
    assert "<img" in page.locator(".review-text").inner_text()
    page.wait_for_timeout(GUARD)
    press(lab, "s")
    says(lab, "Skipped")
    decide(lab, 3, "0")
    decide(lab, 4)
    shown(lab, "All texts are decided and saved.")

    found: dict[str, set[tuple[str, str, str]]] = {}
    for d in example(tmp_path, **options).log.effective():
        found.setdefault(d.text_id, set()).add((d.action, d.label, d.level))
    first, second, third, fourth = (item for item in example(tmp_path, **options).items.values())
    assert found[first.text_id] == {
        ("code", "expressing gratitude", "medium"),
        ("code", "having hope", "high"),
    }
    assert {("correct", proposed.label, other), ("reject", proposed.label, proposed.level)} <= (
        found[second.text_id]
    )
    assert {action for action, _, _ in found[third.text_id]} == {"accept"}
    assert ("correct", "", "") in found[fourth.text_id]
    assert {action for action, _, _ in found[fourth.text_id]} == {"correct", "reject"}

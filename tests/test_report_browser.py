"""The report page in a real browser: phone, tablet and desk, light, dark and print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from lab_server import FLAGS, find_browser
from report_example import made_up

from helpers.report import make_report

WIDTHS = (390, 768, 1280)
SIDEWAYS = "document.documentElement.scrollWidth - window.innerWidth"
# Boxes that follow one another in the same container and lie on top of each other.
OVERLAPS = """() => {
  const wrong = [];
  const parents = "body, .page, main, section, header, header > div";
  for (const parent of document.querySelectorAll(parents)) {
    const boxes = [...parent.children].filter(e => getComputedStyle(e).position !== "absolute")
      .map(e => [e, e.getBoundingClientRect()]).filter(([, b]) => b.width > 0 && b.height > 0);
    for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
      const [a, p] = boxes[i], [b, q] = boxes[j];
      const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (across > 1 && down > 1) wrong.push([a, b].map(e => e.outerHTML.slice(0, 60)).join());
    }
  }
  return wrong;
}"""
# Elements that stick out of the page without a frame in which they can be scrolled.
STICKING_OUT = """() => [...document.querySelectorAll("main *, header *")].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > window.innerWidth + 1 && !e.closest(".frame, pre");
}).map(e => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = find_browser()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page whose labels, like those of users, include a very long word."""
    long = "Hospital" * 12
    return make_report(made_up(tmp_path_factory.mktemp("report"), label=long)).as_uri()


def look(browser: Any, address: str, width: int, **options: Any) -> tuple[Any, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900}, **options)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: wrong.append(request.url))
    page.goto(address)
    page.evaluate("Promise.all([...document.images].map(image => image.decode()))")
    return page, [w for w in wrong if w != address and not w.startswith("data:")]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_width_overflows_overlaps_complains_or_loads_anything(browser, address, width):
    page, wrong = look(browser, address, width)
    assert wrong == []
    for state in ("closed", "open"):
        assert page.evaluate(SIDEWAYS) <= 0, state
        assert page.evaluate(OVERLAPS) == [], state
        assert page.evaluate(STICKING_OUT) == [], state
        page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    side, short = page.locator("nav.side"), page.locator("details.contents")
    assert (side.is_visible(), short.is_visible()) == (
        (True, False) if width > 1100 else (False, True)
    )
    drawn = page.evaluate("[...document.images].map(i => [i.naturalWidth, i.clientWidth])")
    assert len(drawn) == 4 and all(natural > 0 for natural, _ in drawn)
    # On a phone a figure keeps a size at which its letters can be read, and scrolls in its frame.
    assert drawn[0][1] >= 640
    page.close()


def test_the_contents_stay_in_sight_and_lead_to_their_sections(browser, address):
    page, _ = look(browser, address, 1280)
    page.locator("nav.side a", has_text="Files").click()
    page.wait_for_timeout(900)  # smooth scrolling
    assert page.evaluate("window.scrollY") > 500
    assert page.locator("nav.side").bounding_box()["y"] >= 0
    assert page.locator("#files h2").is_visible()
    page.close()


def test_dark_keeps_figures_on_white_and_text_readable(browser, address):
    page, wrong = look(browser, address, 1280, color_scheme="dark")
    assert wrong == []
    colours = """selector => {
      const style = getComputedStyle(document.querySelector(selector));
      return [style.color, style.backgroundColor];
    }"""
    ink, paper = page.evaluate(colours, "body")
    assert (ink, paper) == ("rgb(230, 234, 239)", "rgb(20, 24, 29)")
    assert page.evaluate(colours, "figure .frame")[1] == "rgb(255, 255, 255)"
    page.close()


CONTRAST = """() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  let least = [99, ""];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    if (!own || !e.getClientRects().length) continue;
    const pair = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (ratio < least[0]) least = [ratio, e.outerHTML.slice(0, 80)];
  }
  return least;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_that_WCAG_asks_for(browser, address, scheme):
    page, _ = look(browser, address, 1280, color_scheme=scheme)
    ratio, where = page.evaluate(CONTRAST)
    assert ratio >= 4.5, where
    page.close()


def test_print_is_light_and_leaves_navigation_and_folds_out(browser, address):
    page, _ = look(browser, address, 1280, color_scheme="dark")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for hidden in ("nav.side", "details.fold", ".hint", ".links"):
        assert not page.locator(hidden).first.is_visible(), hidden
    assert page.locator(".highlights dt").first.is_visible()
    assert (
        page.evaluate("getComputedStyle(document.querySelector('figure')).breakInside") == "avoid"
    )
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF")
    page.close()

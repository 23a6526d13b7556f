"""The page as a reader sees it: in headless Chromium, without a network."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import HOSTILE

DESKTOP, PHONE = 1280, 375


def opened(browser: Any, page: Path, width: int = DESKTOP) -> Any:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(page.as_uri())
    return browser


def test_it_opens_without_errors_and_asks_for_nothing(browser: Any, page: Path) -> None:
    opened(browser, page)
    assert browser.get_log("browser") == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"]
    assert urls
    assert {url.partition(":")[0] for url in urls} <= {"file", "data"}


def test_every_picture_shows(browser: Any, page: Path) -> None:
    sizes = opened(browser, page).execute_script("return [...document.images].map((i) => [i.naturalWidth, i.alt])")
    assert len(sizes) > 50
    assert all(width > 0 and alt for width, alt in sizes)


def test_a_name_with_html_in_it_stays_text(browser: Any, page: Path) -> None:
    opened(browser, page)
    assert browser.execute_script("return document.querySelector('h1').textContent") == HOSTILE
    assert browser.execute_script("return document.querySelectorAll('[onmouseover]').length") == 0
    assert browser.title == HOSTILE


def shown(browser: Any) -> list[list[str]]:
    return browser.execute_script(
        "return [...document.querySelectorAll('.row')].filter((row) => row.offsetHeight)"
        ".map((row) => [row.dataset.camera, row.dataset.outcome])"
    )


def choose(browser: Any, name: str, value: str) -> None:
    browser.execute_script(
        "const select = document.querySelector(`select[name=${arguments[0]}]`); select.value = arguments[1];"
        "if (select.value !== arguments[1]) throw Error('no such option');"
        "select.dispatchEvent(new Event('change', { bubbles: true }))",
        name,
        value,
    )


def test_rows_are_filtered_by_camera_and_by_outcome(browser: Any, page: Path) -> None:
    every = shown(opened(browser, page))
    assert {camera for camera, _ in every} == {"1", "2", "3"}
    for camera in ("", "2"):
        for outcome in ("", "right", "later", "wrong"):
            choose(browser, "camera", camera)
            choose(browser, "outcome", outcome)
            kept = [row for row in every if camera in ("", row[0]) and outcome in ("", row[1])]
            assert shown(browser) == kept
            said = browser.execute_script("return document.querySelector('output').textContent")
            assert said == f"{len(kept)} of {len(every)} queries"
    outcomes = [outcome for _, outcome in every]
    assert len(set(outcomes)) > 1


@pytest.mark.parametrize("width", [320, PHONE, DESKTOP])
def test_nothing_sticks_out(browser: Any, page: Path, width: int) -> None:
    opened(browser, page, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    smallest = browser.execute_script(
        "return Math.min(...[...document.querySelectorAll('.drawings img')].map((image) => image.offsetWidth))"
    )
    assert smallest >= min(width - 40, 250)  # the writing in a figure is as large as it was drawn, or nearly


def test_it_prints_every_row_and_folded_table(browser: Any, page: Path) -> None:
    opened(browser, page)
    choose(browser, "camera", "2")
    before = browser.execute_script("return document.querySelectorAll('details[open]').length")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert len(shown(browser)) == browser.execute_script("return document.querySelectorAll('.row').length")
        browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        assert browser.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
        browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
        assert browser.execute_script("return document.querySelectorAll('details[open]').length") == before
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") >= 2

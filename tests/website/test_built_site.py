"""The built site in a browser; .ci/run names its folder after it has built it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.report.conftest import browser

__all__ = ["browser"]
PAGES = ["index", "quickstart", "method", "results", "configuration", "troubleshooting", "api/index", "api/losses/ical"]


if "CCAFL_SITE" not in os.environ:
    pytest.skip("CCAFL_SITE does not name the folder of a built site", allow_module_level=True)


@pytest.fixture(scope="module")
def site() -> Path:
    """Its folder."""
    return Path(os.environ["CCAFL_SITE"])


def opened(browser: Any, site: Path, page: str, width: int) -> Any:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 800}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser"), browser.get_log("performance")
    browser.get((site / f"{page}.html").as_uri())
    return browser


def other_hosts(browser: Any) -> list[str]:
    """What the pages have asked of other hosts since they were asked last."""
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [each["params"]["request"]["url"] for each in asked if each["method"] == "Network.requestWillBeSent"]
    assert urls
    return [url for url in urls if url.partition(":")[0] not in ("file", "data", "blob")]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_asks_no_other_host(browser: Any, site: Path, page: str) -> None:
    opened(browser, site, page, 1280)
    assert not other_hosts(browser)


def test_a_request_would_be_seen(browser: Any, site: Path) -> None:
    opened(browser, site, "index", 1280)
    browser.execute_async_script("fetch('https://example.org/').catch(() => 0).then(arguments[0])")
    assert other_hosts(browser) == ["https://example.org/"]


@pytest.mark.parametrize("page", PAGES)
def test_a_phone_shows_the_page_without_moving_it_sideways(browser: Any, site: Path, page: str) -> None:
    opened(browser, site, page, 375)
    wide = "return document.documentElement.scrollWidth"
    assert browser.execute_script(wide) <= 375


def test_formulas_are_drawn(browser: Any, site: Path) -> None:
    opened(browser, site, "method", 1280)
    boxes = "return [...document.querySelectorAll('.equation math')].map((m) => m.getBoundingClientRect().height)"
    heights = browser.execute_script(boxes)
    assert len(heights) > 30 and min(heights) > 10


def test_signatures_have_types_and_names_lead_to_other_pages(browser: Any, site: Path) -> None:
    opened(browser, site, "api/losses/ical", 1280)
    text = browser.execute_script("return document.querySelector('article').innerText")
    assert "hardness: float = HARDNESS" in text
    links = browser.execute_script("return [...document.querySelectorAll('article a')].map((a) => a.href)")
    assert any(
        link.endswith("proxy_classifier.html#ccafl_plugin.losses.proxy_classifier.ProxyClassifier") for link in links
    )
    assert any(link.endswith("method.html#equation-21") for link in links)

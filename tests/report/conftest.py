"""A small finished run, the page about it, and a browser to look at it with."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccafl_plugin.report.report_command import main as report
from ccafl_plugin.runs.train_command import main as train
from tests.runs.test_train_command import SMALL

pytest.importorskip("jinja2", reason="a report needs the extra [report]")
pytest.importorskip("matplotlib", reason="a report needs the extra [report]")

HOSTILE = "<b onmouseover=alert(1)>run & \"quotes\" '$x$'"
"""Part of the name of a folder that a careless page would take for HTML, and matplotlib for a formula."""


@pytest.fixture(scope="session")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs with every term and prompts; to be read only."""
    folder = tmp_path_factory.mktemp("finished") / "log"
    assert train(["--root", str(pictures), *SMALL, "data.save_dir", str(folder), "ccafl.camera_probe", "True"]) == 0
    return folder


@pytest.fixture(scope="session")
def page(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page about that run, which has HTML in its name."""
    folder = tmp_path_factory.mktemp("page")
    named = folder / HOSTILE
    shutil.copytree(finished, named)
    out = folder / "report.html"
    assert report([str(named), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium without a network; the test is skipped where there is none."""
    selenium = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    service = pytest.importorskip("selenium.webdriver.chrome.service").Service
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("Chromium and its driver are not installed (apt-get install chromium chromium-driver)")
    options = selenium.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = selenium.Chrome(options=options, service=service(driver))
    try:
        started.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        started.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        yield started
    finally:
        started.quit()

"""Settings for all tests: one thread, no network, repeatable hypothesis runs."""

from __future__ import annotations

import os

# Read by libgomp when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import functools
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchreid
from hypothesis import HealthCheck, settings

from ccafl_plugin.options import options
from ccafl_plugin.synthetic import renderer as synthetic
from tests import counts
from tests.engine.small_runs import write_pictures

torch.set_num_threads(1)

# No deadline: torch's first call of an operator takes longer than hypothesis allows.
settings.register_profile(
    "ccafl",
    deadline=None,
    max_examples=25,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ccafl")

# It starts pip, compilers and lscpu, which takes seconds; a process of tests asks once.
torchreid.utils.collect_env_info = functools.cache(torchreid.utils.collect_env_info)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that are marked so start first; the order of the others stays."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of pytest-xdist hands its counts on."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counts"] = counts.as_plain()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The process that prints the report takes them."""
    counts.add(getattr(node, "workeroutput", {}).get("counts", {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What was tried, by kind."""
    counts.show(terminalreporter)


LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting to another machine, or asking for its address, fails the test."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(host: object) -> None:
        if host is not None and host not in LOCAL_HOSTS:
            raise AssertionError(f"a test tried to reach {host!r}")

    def is_internet(connection: socket.socket) -> bool:
        return connection.family in (socket.AF_INET, socket.AF_INET6)

    def guarded_connect(self: socket.socket, address):
        if is_internet(self):
            check(address[0])
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address):
        if is_internet(self):
            check(address[0])
        return connect_ex(self, address)

    def guarded_getaddrinfo(host, *args, **kwargs):
        check(host)
        return getaddrinfo(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)


@pytest.fixture(autouse=True)
def no_progress_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine short work takes ten seconds and would print lines among those that a test reads."""
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture(autouse=True)
def default_options() -> Iterator[None]:
    """Each test starts from, and leaves, the default options."""
    options.reset()
    yield
    options.reset()


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with the smallest ``synthetic_persons``; to be read only."""
    root = tmp_path_factory.mktemp("reid-data")
    synthetic.ensure(root, "tiny", 1)
    return root


@pytest.fixture(scope="session")
def few_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with four identities in two cameras."""
    return write_pictures(tmp_path_factory.mktemp("few"), identities=4, cameras=2)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root in Market-1501's layout: six identities in three cameras."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))

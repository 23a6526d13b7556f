"""A real Milvus server for tests, and a way to it that can stop passing anything on."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ADDRESS = "CCAFL_MILVUS"
"""The environment variable with a server's address, such as ``http://127.0.0.1:19530``."""
BINARY = "milvus-server"
"""Of the package ``milvus`` of PyPI, which has Milvus 2.3 with all that it needs."""
START_SECONDS = 180


@contextmanager
def started(folder: Path) -> Iterator[str]:
    """Runs a server of one's own in a folder; gives its address."""
    binary = shutil.which(BINARY)
    assert binary is not None
    port = free_port()
    words = [binary, "--data", str(folder), "--proxy-port", str(port)]
    with open(folder / "printed.txt", "w") as printed:
        server = subprocess.Popen(words, stdout=printed, stderr=printed, start_new_session=True)
    try:
        wait_for(port, server, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the group: the command starts the server as its child
        server.wait()


def wait_for(port: int, server: subprocess.Popen[bytes], folder: Path) -> None:
    """Waits until the server takes connections and says that it is healthy."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{BINARY} does not start: {(folder / 'printed.txt').read_text()[-2000:]}")


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Way:
    """Passes what comes on to a server, and back, until it is told to stop; connections stay open then.

    Args:
        port: of the server on this machine.

    Attributes:
        address: by which the server is reached on this way.
        passes: set: bytes are passed on.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.passes = threading.Event()
        self.passes.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Ends all connections."""
        for connection in self._open:
            connection.close()
        self.passes.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                return
            self._open += [client, server]
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while content := source.recv(2**16):
                self.passes.wait()
                target.sendall(content)
        except OSError:
            return

"""A server on this machine that stands in for the network: each address has the answer that a test gives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """What is sent for an address.

    Attributes:
        body: the bytes.
        status: of HTTP.
        promised: the length that the header says; None: the body's.
        headers: further ones.
    """

    body: bytes = b""
    status: int = 200
    promised: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class StandIn:
    """The server.

    Attributes:
        answers: by path, such as ``/resnet18.pth``.
        asked: the paths that were asked for.
        address: such as ``http://127.0.0.1:4711``.
    """

    def __init__(self, port: int) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{port}"


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Runs the server in a thread for the length of a ``with`` block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            answer = state.answers.get(self.path, Answer(status=404))
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(answer.body) if answer.promised is None else answer.promised))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keeps quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state = StandIn(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()

"""A real web server for a test: what it answers to which path, and what it was asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    content: bytes
    status: int = 200
    redirect_to: str | None = None
    num_bytes_sent: int | None = None
    """The connection is closed after so many; all by default."""
    announced_bytes: int | None = None
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    halfway: Callable[[], object] | None = None
    """Called when half of the content is sent."""


@dataclass
class Server:
    address: str
    asked: list[str]
    """Paths of GET requests, in order."""


@contextmanager
def serving(answers: dict[str, Answer | list[Answer]]) -> Iterator[Server]:
    """A list gives one answer a request, the last one again and again."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self._answer(sends_content=True)

        def do_HEAD(self) -> None:
            self._answer(sends_content=False)

        def _answer(self, *, sends_content: bool) -> None:
            planned = answers.get(self.path, Answer(b"no such file", status=404))
            if isinstance(planned, list):
                planned = planned[min(asked.count(self.path), len(planned)) - 1]
            self.send_response(302 if planned.redirect_to else planned.status)
            if planned.redirect_to:
                self.send_header("Location", planned.redirect_to)
            self.send_header("Content-Type", planned.content_type)
            self.send_header("Content-Length", str(planned.announced_bytes or len(planned.content)))
            for name, value in planned.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if sends_content:
                sent = planned.content[: planned.num_bytes_sent]
                with suppress(ConnectionError):  # who asked may have been killed
                    self.wfile.write(sent[: len(sent) // 2])
                    self.wfile.flush()
                    if planned.halfway:
                        planned.halfway()
                    self.wfile.write(sent[len(sent) // 2 :])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_port}", asked)
    finally:
        server.shutdown()
        server.server_close()

"""Servers that are of no use: a port where nothing listens, one that takes calls and never answers."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


def dead_address() -> str:
    """http://… of a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def silent_server() -> Iterator[str]:
    """Its address; connections are accepted by the system, and nobody reads them."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"

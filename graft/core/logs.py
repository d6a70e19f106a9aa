"""Messages of the library: each module logs them, and whoever runs the library decides where they go."""

import logging


class _ToStdout(logging.Handler):
    """Writes each message as it is to what stdout is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def log_to_stdout() -> None:
    """Shows the library's messages on stdout, as commands do; calling it again changes nothing."""
    library = logging.getLogger("graft")
    library.setLevel(logging.INFO)
    library.propagate = False
    if not any(isinstance(handler, _ToStdout) for handler in library.handlers):
        library.addHandler(_ToStdout())

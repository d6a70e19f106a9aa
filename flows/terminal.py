"""How a command answers at the terminal, and to whatever started it: with a sentence and an exit code."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from prefect.exceptions import TerminationSignal

from graft.terminal import show_all_letters, tell
from tasks.stage import GO_ON


def answer(command: Callable[[], int]) -> int:
    """Exit code of the command; 1 on an error of the user's, 130 on Ctrl-C, 143 on SIGTERM."""
    signal.signal(signal.SIGTERM, _raise)
    show_all_letters()
    try:
        return command()
    except KeyboardInterrupt:
        print(f"\nInterrupted. {GO_ON}", file=sys.stderr)
        return 128 + signal.SIGINT
    except TerminationSignal:
        print(f"\nStopped by SIGTERM. {GO_ON}", file=sys.stderr)
        return 128 + signal.SIGTERM
    except Exception as error:
        if not tell(error):
            raise
        return 1


def _raise(number: int, _frame: FrameType | None) -> None:
    """What Prefect does by itself while a flow runs, and then hands on to the handler that it found."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise TerminationSignal(number)

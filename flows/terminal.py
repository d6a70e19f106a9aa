"""Result of a command at the terminal: a sentence and an exit code."""

import signal
import sys
from collections.abc import Callable
from types import FrameType

from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.states import Failed

from graft.core.logs import log_to_stdout
from graft.core.terminal import answer_to, plain, show_all_letters, tell
from tasks.stage import GO_ON


def answer(command: Callable[[], int]) -> int:
    """Runs the command and returns its exit code: 1 on a user's error, 130 on Ctrl-C, 143 on SIGTERM."""
    signal.signal(signal.SIGTERM, _raise)
    show_all_letters()
    log_to_stdout()
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


def failed_by(error: Exception) -> State:
    """Failed state with the message of `answer_to`.

    Raises:
        Exception: the error itself, if it is a bug, which needs a traceback.
    """
    message = answer_to(error)
    if message is None:
        raise error
    return Failed(message=message)


def exit_code_of(state: State) -> int:
    """0 if the flow has completed; otherwise 1, with the state's message on stderr."""
    if state.is_completed():
        return 0
    print(f"\n{plain(state.message or '')}\n", file=sys.stderr)
    return 1


def _raise(number: int, _frame: FrameType | None) -> None:
    """Handler of SIGTERM that does what Prefect does while a flow runs, which then calls the previous handler."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise TerminationSignal(number)

"""What every stage does at its door: checks the params, and turns errors and Ctrl-C into an answer."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from graft.config import Params, load_params
from graft.errors import PreemptedError
from graft.memory import keep_freed_memory
from graft.terminal import plain_output, require_utf8_names, tell

DATA = Path("data")
ARTIFACTS = Path("artifacts")
SOURCES = Path("sources.yaml")
PARAMS = Path("params.yaml")
EXPECTATIONS = Path("expectations.yaml")
ACCEPTED_DATA = Path("accepted_data.json")
GIVEN_SPLITS = Path("splits.json")
REJECTED_SOURCES = Path("rejected_sources.json")
TEST_USES = Path("test_uses.json")
WRITTEN_BY_RUNS = (Path("dvc.lock"), ACCEPTED_DATA, GIVEN_SPLITS, REJECTED_SOURCES, TEST_USES)
"""What is committed and changes with a run, though nobody edits it."""


def run_stage(stage: Callable[[Params], None]) -> None:
    """Runs a stage from the project's folder; exits with 1 on an error of the user's, 130 on Ctrl-C,
    143 on SIGTERM."""
    keep_freed_memory()
    with plain_output():
        try:
            require_utf8_names()
            stage(load_params(PARAMS))
        except PreemptedError as error:
            print(f"\nPreempted: {error}", file=sys.stderr)
            sys.exit(128 + signal.SIGTERM)
        except KeyboardInterrupt:
            print("\nInterrupted. What is finished is kept; run the same command again to go on.", file=sys.stderr)
            sys.stderr.flush()
            os._exit(130)  # loader threads may still be busy; nothing is half-written
        except Exception as error:
            if not tell(error):
                raise
            sys.exit(1)

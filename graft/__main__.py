"""Command line: `graft sources`, run from the project's folder.

`dvc repro` or `python -m flows.retrain` runs the pipeline itself.
"""

import argparse
import os
import signal
import sys

from graft.cli import sources
from graft.core.logs import log_to_stdout
from graft.core.terminal import show_all_letters, tell


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="graft", description="Shows the pretrained models that the pipeline can start from."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    sources.add_to(commands)
    arguments = parser.parse_args()
    show_all_letters()
    log_to_stdout()
    try:
        return arguments.run(arguments)
    except BrokenPipeError:  # as with `graft sources | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        if not tell(error):
            raise
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

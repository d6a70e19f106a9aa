"""The command line: `graft sources`, from the project's folder.

The pipeline itself is run by `dvc repro` or `python -m flows.retrain`.
"""

import argparse
import sys

from graft.commands import sources
from graft.errors import GraftError


def main() -> int:
    parser = argparse.ArgumentParser(prog="graft", description="Look at what the pipeline can start from.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    sources.add_to(commands)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments)
    except GraftError as error:
        print(f"\n{type(error).__name__}: {error}\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())

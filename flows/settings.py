"""Check of Prefect's settings before Prefect is used; otherwise a mistake would end in a traceback."""

import sys

from prefect.settings import get_current_settings
from pydantic import ValidationError


def require_readable_settings() -> None:
    """Ends the process with a sentence if the environment, a profile or a file has a mistake."""
    try:
        get_current_settings()
    except (OSError, ValueError) as error:  # mistakes in TOML, encodings and values are ValueErrors
        sys.exit(
            f"Prefect's settings cannot be read: {_in_words(error)}. They come from PREFECT_... in the environment, "
            ".env, prefect.toml, [tool.prefect] in pyproject.toml, and profiles.toml (in .prefect, or where "
            "PREFECT_HOME or PREFECT_PROFILES_PATH says). Correct it there."
        )


def _in_words(error: Exception) -> str:
    """Message without the values, which may be secrets."""
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
    return str(error)

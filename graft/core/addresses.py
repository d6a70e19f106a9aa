"""Addresses of files and servers: every character of a path is kept, and no password is shown."""

import re
from pathlib import Path

_USER = re.compile(r"(?<=://)(?:[^\s/?#'\"@]*|[^\s/?#'\"@:]*:[^\s'\"]*)@")
_SECRET = re.compile(r"([?&][^\s=&'\"]*(?:password|passwd|token|secret|key|signature|sig)=)[^\s&'\"]+", re.IGNORECASE)
MAX_REASON = 200


def without_passwords(text: str) -> str:
    """The text with user, password and secret parameters removed from its addresses.

    >>> without_passwords("no answer from https://anna:s3cret@runs.example/api?token=abc")
    'no answer from https://***@runs.example/api?token=***'
    """
    return _SECRET.sub(r"\1***", _USER.sub("***@", text))


def sqlite_address(path: Path) -> str:
    """URL of the file for SQLAlchemy, MLflow and Optuna; `%`, `?` and `#` are quoted."""
    from sqlalchemy import URL  # costs half a second

    return URL.create("sqlite", database=str(path.absolute())).render_as_string(hide_password=False)


def sqlite_path(address: str) -> Path | None:
    """The file that an SQLAlchemy URL names; None if it names a server or memory."""
    from sqlalchemy import make_url

    if not address.startswith("sqlite:"):
        return None
    database = make_url(address).database
    return Path(database) if database and database != ":memory:" else None


def why_unusable(error: BaseException, waited_s: float) -> str:
    """One sentence on why a server could not be used, derived from the exception of its client.

    Args:
        waited_s: timeout of the request.
    """
    causes = _causes(error)
    kinds = [type(cause).__name__ for cause in causes]
    if any(isinstance(cause, ConnectionRefusedError) or "refused" in str(cause) for cause in causes):
        return "nothing listens there"
    if any("Timeout" in kind for kind in kinds):
        return f"it does not answer within {waited_s:g} s"
    if "gaierror" in kinds or any("Name or service not known" in str(cause) for cause in causes):
        return "there is no such host"
    lines = str(error).strip().splitlines() or [kinds[0]]
    return without_passwords(lines[0])[:MAX_REASON]


def _causes(error: BaseException) -> list[BaseException]:
    """The error followed by its chain of causes."""
    causes: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in causes:
        causes.append(following)
        following = following.__cause__ or following.__context__
    return causes

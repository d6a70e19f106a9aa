"""Kinds of samples, by name. Each is imported when it is asked for, with the libraries that it needs."""

import pkgutil

from graft.core.errors import ParamsError
from graft.modalities.base import Modality

MODALITIES = {"image": "graft.modalities.image.modality:ImageModality"}
"""Name -> where it lies, as module:class."""


def modality(name: str, **settings: object) -> Modality:
    """
    Args:
        name: a key of `MODALITIES`, or module:class of one of your own.
        settings: that its files are read with.
    Raises:
        ParamsError: there is none of this name.
    """
    if not is_modality(name):
        raise ParamsError(
            f"no modality is called {name!r}: there are {', '.join(MODALITIES)}, or module:class of yours."
        )
    try:
        return pkgutil.resolve_name(MODALITIES.get(name, name))(**settings)
    except (ImportError, AttributeError) as error:
        raise ParamsError(f"the modality {name} cannot be loaded: {error}") from error


def is_modality(name: str) -> bool:
    return name in MODALITIES or ":" in name

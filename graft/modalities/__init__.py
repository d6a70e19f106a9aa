"""Kinds of samples by name. Each is imported on first use, with the libraries that it needs."""

import pkgutil

from graft.core.errors import ParamsError
from graft.modalities.base import Modality

MODALITIES = {"image": "graft.modalities.image.modality:ImageModality"}
"""Name -> class, as module:class."""


def modality(name: str, **settings: object) -> Modality:
    """
    Args:
        name: a key of `MODALITIES`, or module:class of your own modality.
        settings: settings for reading its files.
    Raises:
        ParamsError: there is no modality of this name, or it cannot be loaded.
    """
    if not is_modality(name):
        raise ParamsError(
            f"no modality is called {name!r}: there are {', '.join(MODALITIES)}, or module:class of your own."
        )
    try:
        return pkgutil.resolve_name(MODALITIES.get(name, name))(**settings)
    except (ImportError, AttributeError) as error:
        raise ParamsError(f"the modality {name} cannot be loaded: {error}") from error


def is_modality(name: str) -> bool:
    return name in MODALITIES or ":" in name

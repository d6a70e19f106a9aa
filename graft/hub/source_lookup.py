"""Sources by name, from sources.yaml and from libraries."""

from graft.core.errors import CatalogueError, ContentChangedError
from graft.hub.catalogue import Source


def pick_sources(catalogue: dict[str, Source], names: list[str], modality: str | None = None) -> list[Source]:
    """The sources of these names, from the catalogue, or as torchvision/NAME and torchvision/ENUM.MEMBER.

    Args:
        modality: required of all sources; None: any.
    Raises:
        CatalogueError: a source is neither in the catalogue nor in a library, or is of another modality.
    """
    unknown = [name for name in names if name not in catalogue and "/" not in name]
    if unknown:
        raise CatalogueError(
            f"select.candidates names {', '.join(unknown)}, but sources.yaml only has {', '.join(catalogue)}. "
            "torchvision/NAME, as in torchvision/resnet50, needs no entry."
        )
    sources = [catalogue[name] if name in catalogue else _library_source(name) for name in names]
    if modality is not None:
        _require_modality(sources, modality, catalogue)
    return sources


def _require_modality(sources: list[Source], modality: str, catalogue: dict[str, Source]) -> None:
    others = [source for source in sources if source.modality != modality]
    if others:
        named = ", ".join(f"{source.name} (for {source.modality})" for source in others)
        fitting = ", ".join(name for name, source in catalogue.items() if source.modality == modality)
        raise CatalogueError(
            f"select.candidates names {named}, but inputs.modality in params.yaml is {modality}. Take it out of "
            f"select.candidates; for {modality}, sources.yaml has {fitting or 'none'}."
        )


def _library_source(name: str) -> Source:
    from graft.hub.library_sources import library_source  # takes two seconds, and most runs have no such source

    return library_source(name)


def chosen_source(catalogue: dict[str, Source], name: str, weights_sha256: str) -> Source:
    """The source that select chose, pinned to the weights that select used, even if an alias has moved since.

    Raises:
        CatalogueError: it is no longer in the catalogue.
        ContentChangedError: the catalogue now pins other weights.
    """
    source = pick_sources(catalogue, [name])[0]
    if source.weights.sha256 not in (None, weights_sha256):
        raise ContentChangedError(
            f"sources.yaml pins different weights for {name} from those that select used. Bring them back in step: "
            "dvc repro"
        )
    return source.with_sha256(weights_sha256)

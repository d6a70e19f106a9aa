"""Sources by name: those that sources.yaml has, and those that libraries bring."""

from graft.core.errors import CatalogueError, ContentChangedError
from graft.hub.catalogue import Source


def pick_sources(catalogue: dict[str, Source], names: list[str], modality: str | None = None) -> list[Source]:
    """The sources of these names: those of the catalogue, or torchvision/NAME and torchvision/ENUM.MEMBER.

    Args:
        modality: all of them must take such samples; None: whichever.
    Raises:
        CatalogueError: a name is not in the catalogue, nor is there such a source in a library; or one takes other
            samples.
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
    """The source that select chose, pinned to the very bytes that it looked at, wherever an alias points by now.

    Raises:
        CatalogueError: it is not in the catalogue any more.
        ContentChangedError: the catalogue pins other weights by now.
    """
    source = pick_sources(catalogue, [name])[0]
    if source.weights.sha256 not in (None, weights_sha256):
        raise ContentChangedError(
            f"sources.yaml pins other weights for {name} than select looked at. Bring both in step again: dvc repro"
        )
    return source.with_sha256(weights_sha256)

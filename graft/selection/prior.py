"""What the catalogue alone says of a source, before any picture is looked at."""

from graft.hub.catalogue import Source
from graft.networks.backbones import backbone_shape, forward_flops

OUTWEIGHED_BY = 16
"""Times the operations at which a network is expected to learn more than one trained on ImageNet-1k. On the tasks of
benchmarks/choice.py any number between 3 and 70 would do the same."""


def gflops_of(source: Source, side_px: int) -> float:
    """Of the backbone, one picture of this side: multiply-adds times two, in 1e9."""
    return forward_flops(backbone_shape(source.architecture), (1, 3, side_px, side_px))[0] / 1e9


def why_excluded(
    source: Source, *, licences: list[str], max_parameters: float | None, max_gflops: float | None, gflops: float
) -> str | None:
    """The reason in words, or None.

    Args:
        gflops: see `gflops_of`, at the size that will be used.
    """
    if source.licence.casefold() not in map(str.casefold, licences):  # Apache-2.0 is apache-2.0 in some libraries
        return f"licence {source.licence} is not in select.licences"
    if max_parameters is not None and source.num_parameters > max_parameters:
        return f"{source.num_parameters / 1e6:.1f} million parameters; select.max_parameters allows {max_parameters:g}"
    if max_gflops is not None and gflops > max_gflops:
        return f"{gflops:.2f} GFLOPs a picture; select.max_gflops allows {max_gflops:g}"
    return None


def strongest(sources: list[Source], gflops: dict[str, float]) -> str:
    """Name of the source to take if nothing is known of the target.

    Of sources trained on ImageNet-1k the one with the highest top-1 accuracy, which predicts how well they transfer
    (Kornblith et al. 2019, arXiv 1805.08974); but the one with the most operations where that has more than
    OUTWEIGHED_BY times as many, or where no source was trained on ImageNet-1k. Ties: the one with more parameters.

    Args:
        sources: one at least.
        gflops: name -> operations, see `gflops_of`.
    """
    dearest = max(sources, key=lambda source: (gflops[source.name], source.num_parameters))
    published = [source for source in sources if source.imagenet_top1 is not None]
    if not published:
        return dearest.name
    best = max(published, key=lambda source: (source.imagenet_top1 or 0.0, source.num_parameters))
    return dearest.name if gflops[dearest.name] > OUTWEIGHED_BY * gflops[best.name] else best.name


def in_prior_order(sources: list[Source], *, default: str, domain: str | None) -> list[Source]:
    """Whom to look at first where time may not suffice for all: the default, the target's own domain, the smaller."""
    return sorted(
        sources,
        key=lambda source: (source.name != default, source.trained_on.domain != domain, source.num_parameters),
    )

"""Ranking of sources by the catalogue only, before any image is used."""

from graft.hub.catalogue import Source
from graft.networks.backbones import backbone_shape, forward_flops

OUTWEIGHED_BY = 16
"""Ratio of operations above which a network is expected to beat the best one on ImageNet-1k. On the tasks of
benchmarks/choice.py any value between 3 and 70 gives the same choices."""


def gflops_of(source: Source, side_px: int) -> float:
    """Operations of the backbone for one image of this side: multiply-adds times two, in 1e9."""
    return forward_flops(backbone_shape(source.architecture), (1, 3, side_px, side_px))[0] / 1e9


def why_excluded(
    source: Source, *, licences: list[str], max_parameters: float | None, max_gflops: float | None, gflops: float
) -> str | None:
    """Reason for excluding the source, or None.

    Args:
        gflops: from `gflops_of`, at the image size of the run.
    """
    if source.licence.casefold() not in map(str.casefold, licences):  # Apache-2.0 is apache-2.0 in some libraries
        return f"licence {source.licence} is not in select.licences"
    if max_parameters is not None and source.num_parameters > max_parameters:
        return f"{source.num_parameters / 1e6:.1f} million parameters; select.max_parameters allows {max_parameters:g}"
    if max_gflops is not None and gflops > max_gflops:
        return f"{gflops:.2f} GFLOPs per image; select.max_gflops allows {max_gflops:g}"
    return None


def strongest(sources: list[Source], gflops: dict[str, float]) -> str:
    """Name of the default source, chosen without knowledge of the target.

    The source trained on ImageNet-1k with the highest top-1 accuracy, which predicts how well sources transfer
    (Kornblith et al. 2019, arXiv 1805.08974); but the one with the most operations if it has more than OUTWEIGHED_BY
    times as many, or if no source was trained on ImageNet-1k. Ties: the one with more parameters.

    Args:
        sources: at least one.
        gflops: name -> operations, from `gflops_of`.
    """
    dearest = max(sources, key=lambda source: (gflops[source.name], source.num_parameters))
    published = [source for source in sources if source.imagenet_top1 is not None]
    if not published:
        return dearest.name
    best = max(published, key=lambda source: (source.imagenet_top1 or 0.0, source.num_parameters))
    return dearest.name if gflops[dearest.name] > OUTWEIGHED_BY * gflops[best.name] else best.name


def in_prior_order(sources: list[Source], *, default: str, domain: str | None) -> list[Source]:
    """Order of trying sources if time may not suffice for all: the default, the target's domain, smaller ones first."""
    return sorted(
        sources,
        key=lambda source: (source.name != default, source.trained_on.domain != domain, source.num_parameters),
    )

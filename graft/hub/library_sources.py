"""Sources of libraries, which need no entry in sources.yaml. Describing one downloads nothing."""

import re
from typing import Any

import timm
import yaml
from torchvision import models

from graft.core.errors import CatalogueError
from graft.hub.catalogue import Preprocessing, Source, TorchvisionWeights, TrainedOn
from graft.networks.backbones import forward_flops, native_shape

AUXILIARY = {"googlenet": [r"^aux[12]\."], "inception_v3": [r"^AuxLogits\."]}
"""Auxiliary heads, used only in the network's own training."""
OLD_NAMES = {
    "densenet": [(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)", r"\1")],
    "vit": [(r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3.")],
}
"""Old tensor names in published files; torchvision renames them on loading, too."""


def library_source_names() -> list[str]:
    """torchvision/NAME for each of its classification networks; NAME means its default weights."""
    return [f"torchvision/{name}" for name in models.list_models(module=models)]


def library_source(name: str) -> Source:
    """The source called `torchvision/resnet50`, `torchvision/ResNet50_Weights.IMAGENET1K_V2` or the like.

    Raises:
        CatalogueError: there is no source of that name; or it is one of timm's, whose registry has no checksums: the
            message then gives an entry to complete and add to sources.yaml.
    """
    library, _, rest = name.partition("/")
    if library == "torchvision":
        return _torchvision_source(name, rest)
    if library == "timm" and timm.is_model(rest.partition(".")[0]):
        raise CatalogueError(
            f"source {name!r}: timm gives no sha256 of its weights, and only pinned weights are loaded. Add this to "
            f"sources.yaml, with the sha256 of the model's model.safetensors, and check licence and dataset:\n"
            f"\n{_timm_entry(rest)}"
        )
    raise CatalogueError(
        f"there is no source {name!r}. Libraries provide torchvision/NAME and torchvision/ENUM.MEMBER; "
        "other sources must be in sources.yaml."
    )


def _torchvision_source(name: str, rest: str) -> Source:
    model, weights = _torchvision_weights(name, rest)
    expected, meta = weights.transforms(), weights.meta
    side_px = expected.crop_size[0]
    is_vit = model.startswith("vit_")
    architecture = f"torchvision/{model}" + (f"@{side_px}" if is_vit and side_px != 224 else "")
    # as published, these two networks take ImageNet's mean and deviation and convert them to 0.5 themselves
    is_centred = model in AUXILIARY
    num_parameters, gflops, head = _measured(architecture, side_px)
    return Source(
        name=name,
        description=f"torchvision's {model}, weights {weights.name}",
        architecture=architecture,
        trained_on=TrainedOn(
            task="classification", domain="photographs", dataset="ImageNet-1k", num_classes=len(meta["categories"])
        ),
        licence="CC BY-NC 4.0" if "SWAG" in meta.get("license", "") else "BSD-3-Clause",
        num_parameters=num_parameters,
        gflops=gflops,
        imagenet_top1=round(meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100, 5),
        preprocessing=Preprocessing(
            image_size_px=side_px,
            mean=[0.5] * 3 if is_centred else list(expected.mean),
            std=[0.5] * 3 if is_centred else list(expected.std),
        ),
        weights=TorchvisionWeights(
            scheme="torchvision",
            enum=str(weights),
            head=head,
            unused=AUXILIARY.get(model, []),
            renames=OLD_NAMES.get(next((family for family in OLD_NAMES if model.startswith(family)), ""), []),
        ),
    )


def _torchvision_weights(name: str, rest: str) -> tuple[str, Any]:
    """Name of the network, and the member of its enum of weights."""
    by_enum = {models.get_model_weights(model).__name__: model for model in models.list_models(module=models)}
    try:
        if rest in by_enum.values():
            return rest, models.get_model_weights(rest).DEFAULT
        return by_enum[rest.partition(".")[0]], models.get_weight(rest)
    except (KeyError, ValueError, AttributeError) as error:
        raise CatalogueError(
            f"there is no source {name!r}: torchvision has no such classification network or weights. "
            "Use torchvision/NAME, as in torchvision/resnet50, or torchvision/ResNet50_Weights.IMAGENET1K_V2."
        ) from error


def _measured(architecture: str, side_px: int) -> tuple[int, float, list[str]]:
    """Parameters of the backbone, its operations for one image in 1e9, and the tensor names of the removed head."""
    headless = native_shape(architecture).eval()
    names = headless.state_dict().keys()
    whole = native_shape(architecture, num_classes=2)
    head = [f"^{re.escape(name)}$" for name in whole.state_dict() if name not in names]
    num_parameters = sum(parameter.numel() for parameter in headless.parameters())
    flops, _ = forward_flops(headless, (1, 3, side_px, side_px))
    return num_parameters, round(flops / 1e9, 3), head


def _timm_entry(model: str) -> str:
    """An entry of sources.yaml for a model of timm; "?" stands for values that timm does not give."""
    name, _, tag = model.partition(".")
    known = timm.get_pretrained_cfg(model if tag else name)
    if known is None or not known.has_weights:
        raise CatalogueError(f"there is no source 'timm/{model}': timm has no weights of that name.")
    architecture, side_px = f"timm/{name}", known.input_size[1]
    num_parameters, gflops, head = _measured(architecture, side_px)
    entry = {
        "description": f"timm's {name}, weights {known.tag}",
        "architecture": architecture,
        "trained_on": {
            "task": "classification",
            "domain": "photographs",
            "dataset": "ImageNet-1k" if known.num_classes == 1000 else "?",
            "num_classes": known.num_classes or None,
        },
        "licence": known.license or "?",
        "num_parameters": num_parameters,
        "gflops": gflops,
        "preprocessing": {"image_size_px": side_px, "mean": list(known.mean), "std": list(known.std)},
        "weights": {
            "scheme": "timm",
            "model": f"{name}.{known.tag}",
            "sha256": "?",
            "head": head,
        },
    }
    return yaml.safe_dump({f"{name}_{known.tag}": entry}, sort_keys=False)

"""`graft sources`: lists the sources, shows the details of one, and checks that one works as described.

Heavy libraries are imported where they are needed, so that the list appears at once.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.tables import print_facts, print_table
from graft.core.errors import CatalogueError
from graft.core.percentages import percent
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.source_lookup import pick_sources

if TYPE_CHECKING:
    from graft.hub.check import SourceCheck

CATALOGUE = Path("sources.yaml")
FACTORS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sources = commands.add_parser(
        "sources",
        help="pretrained models to start from",
        description="Lists the sources of sources.yaml. `show` gives the details of one, `check` loads it and shows "
        "what it predicts.",
    )
    sources.set_defaults(run=list_sources)
    sources.add_argument("--modality", help="such as image")
    sources.add_argument("--domain", help="such as photographs, aerial or drawings")
    sources.add_argument("--licence", help="beginning of the licence: MIT, Apache, BSD")
    sources.add_argument("--max-parameters", type=_number, metavar="N", help="of the backbone: 5M, 300k, 2500000")
    sources.add_argument("--max-gflops", type=float, metavar="N", help="one image at the source's own size")
    sources.add_argument("--torchvision", action="store_true", help="include the models of torchvision")
    actions = sources.add_subparsers(metavar="ACTION")
    for name, run, purpose in [
        ("show", show_source, "details of one source"),
        ("check", check_one_source, "load one, and show what it sees on sample images"),
    ]:
        action = actions.add_parser(name, help=purpose, description=f"{purpose.capitalize()}.")
        action.add_argument("name", metavar="NAME", help="from the list, or such as torchvision/resnet50")
        action.set_defaults(run=run)


def list_sources(arguments: argparse.Namespace) -> int:
    listed = [source for source in _all_sources(arguments.torchvision) if _is_wanted(source, arguments)]
    if not listed:
        print("No source matches. `graft sources` without filters lists them all.")
        return 0
    is_too_narrow_for = print_table(
        ["source", "trained on", "domain", "licence", "size", "GFLOPs", "px", "top-1"],
        [
            [
                source.name,
                source.trained_on.dataset,
                source.trained_on.domain,
                source.licence,
                f"{source.num_parameters / 1e6:.1f} M",
                f"{source.gflops:.2f}",
                str(source.preprocessing.image_size_px),
                _top1(source),
            ]
            for source in listed
        ],
        prose="trained on",
        right_aligned=frozenset({"size", "GFLOPs", "px", "top-1"}),
    )
    if is_too_narrow_for:
        print(f"Terminal too narrow for: {', '.join(is_too_narrow_for)}.")
    print("size: parameters without the head; top-1: published, on ImageNet-1k. More: graft sources show NAME")
    return 0


def show_source(arguments: argparse.Namespace) -> int:
    from graft.hub.fetch import cached_weights

    source = _named(arguments.name)
    trained_on, expected = source.trained_on, source.preprocessing
    classes = f"{trained_on.num_classes:,} classes" if trained_on.num_classes else "no classes"
    cached = cached_weights(source)
    print_facts(
        source.name,
        {
            "what": source.description,
            "trained on": f"{trained_on.dataset} ({trained_on.domain}): {trained_on.task}, {classes}",
            "licence": source.licence,
            "modality": source.modality,
            "architecture": source.architecture,
            "size": f"{source.num_parameters:,} parameters without the head",
            "compute": f"{source.gflops:.3f} GFLOPs per image (multiply-adds times two)",
            "top-1": _top1(source, " on ImageNet-1k, published"),
            "expects": f"{expected.image_size_px} x {expected.image_size_px} px, {expected.channel_order}, "
            f"mean {expected.mean}, std {expected.std}",
            "weights": _where_from(source),
            "sha256": source.weights.sha256 or _why_unpinned(source),
            "in the cache": str(cached or _why_not_cached(source)),
        },
    )
    return 0


def check_one_source(arguments: argparse.Namespace) -> int:
    from graft.hub.fetch import pinned

    source = pinned(_named(arguments.name))
    from graft.hub.check import (
        check_source,
    )  # imports torch, which takes seconds; a failing download is reported before that

    check = check_source(source)
    _print_predictions(check)
    facts = {
        "sha256": source.weights_sha256,
        "backbone": f"{check.num_blocks} blocks, {check.num_parameters:,} parameters, {check.num_features:,} features",
        "features": f"spread by {check.feature_spread:.2f} of their size across the photographs",
    }
    if check.class_shares:
        facts["answers"] = ", ".join(f"{name} {100 * share:.0f} %" for name, share in check.class_shares.items())
    print_facts(source.name, {**facts, "OK" if check.is_ok else "NOT OK": check.reason})
    return 0 if check.is_ok else 1


def _print_predictions(check: "SourceCheck") -> None:
    has_classes = bool(check.scores or check.class_shares)
    seen = "what it sees" if has_classes else "most like it"
    if check.photo_results:
        rows = [
            [result.content, ", ".join(f"{name} {value:.2f}" for name, value in result.predictions), result.image]
            for result in check.photo_results
        ]
        print_table(["photograph of", seen, "image"], rows, prose=seen)
        print()
    if check.scores:
        print_table(
            ["preprocessing", "top-1", "top-5"],
            [[score.preprocessing, f"{100 * score.top1:.0f} %", f"{100 * score.top5:.0f} %"] for score in check.scores],
            prose="preprocessing",
            right_aligned=frozenset({"top-1", "top-5"}),
        )
        print()


def _all_sources(with_torchvision: bool) -> list[Source]:
    own = list(_catalogue().values())
    if not with_torchvision:
        return own
    from graft.hub.library_sources import library_source, library_source_names  # imports torch

    names = library_source_names()
    print(f"Measuring {len(names)} networks of torchvision, about a minute...", file=sys.stderr)
    return own + [library_source(name) for name in names]


def _catalogue() -> dict[str, Source]:
    if not CATALOGUE.exists():
        raise CatalogueError(f"there is no {CATALOGUE} in {Path.cwd()}. Run this from the project's folder.")
    return load_catalogue(CATALOGUE)


def _named(name: str) -> Source:
    catalogue = _catalogue()
    if name in catalogue or "/" in name:
        return pick_sources(catalogue, [name])[0]
    raise CatalogueError(
        f"sources.yaml has no source {name!r}; it has {', '.join(catalogue)}. Models of torchvision are called "
        "torchvision/NAME: graft sources --torchvision lists them."
    )


def _is_wanted(source: Source, arguments: argparse.Namespace) -> bool:
    return (
        arguments.modality in (None, source.modality)
        and (arguments.domain is None or source.trained_on.domain.casefold() == arguments.domain.casefold())
        and (arguments.licence is None or source.licence.casefold().startswith(arguments.licence.casefold()))
        and (arguments.max_parameters is None or source.num_parameters <= arguments.max_parameters)
        and (arguments.max_gflops is None or source.gflops <= arguments.max_gflops)
    )


def _top1(source: Source, where: str = "") -> str:
    return "–" if source.imagenet_top1 is None else percent(source.imagenet_top1) + where


def _where_from(source: Source) -> str:
    weights = source.weights
    match weights.scheme:
        case "package":
            return f"{weights.file} in the package {weights.package}"
        case "torchvision":
            return f"torchvision's {weights.enum}"
        case "timm":
            return f"model.safetensors of timm/{weights.model} at revision {weights.revision}, from the model hub"
        case "file":
            return f"the file {weights.path}"
        case "mlflow":
            return f"{weights.model} in the model registry"


def _why_unpinned(source: Source) -> str:
    if source.weights.scheme == "torchvision":
        return "not pinned: the first digits, given in the official file's name, are verified"
    return "not pinned: select resolves the name, and pins what it finds"


def _why_not_cached(source: Source) -> str:
    if source.weights.scheme == "file":
        return "no: the file is missing, or its content is not the pinned one"
    if source.weights.scheme == "mlflow" and not source.weights.sha256:
        return "known when the name is resolved"
    return "not yet; fetched when first needed"


def _number(text: str) -> float:
    """Parses numbers such as 5M, 300k, 1.5G or 2500000."""
    digits = text.rstrip("kKmMgGbB")
    try:
        return float(digits) * FACTORS[text[len(digits) :].lower()]
    except (ValueError, KeyError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; write 5M, 300k or 2500000") from None

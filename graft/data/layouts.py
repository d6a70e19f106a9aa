"""Layout of a data folder: a table, one folder per class, or folders for splits with classes below.

An ambiguous layout is refused with what was found and what to do; nothing is guessed.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from graft.core.errors import LayoutError
from graft.data.folders import folders_in, num_samples_in
from graft.data.naming import SPLIT_WORDS, listed, split_named, words_of
from graft.data.tables import TABLES, warn_of_unread_tables

UNLABELLED_FOLDERS = {"unlabelled", "unlabeled"}
CONTAINER_WORDS = {
    "image", "images", "imgs", "img", "jpegimages", "pictures", "photos", "masks", "mask", "labels", "annotations",
    "annotation", "groundtruth", "segmentations", "bboxes",
}  # fmt: skip
"""Folder names that describe the contents, not a class."""


class FolderRole(NamedTuple):
    """Label and split that a folder gives the samples below it."""

    label: str
    split: str


def folder_roles(data_dir: Path, suffixes: Collection[str], say: Callable[[str], None]) -> Mapping[str, FolderRole]:
    """Folder -> label and split of the samples below it, for a data folder without a table.

    Samples in no such folder have no label.

    Args:
        suffixes: suffixes of samples.
        say: receives a line about every folder that is not read as a class.
    Raises:
        LayoutError: the folders do not look like classes.
    """
    top = folders_in(data_dir)
    unlabelled = [name for name in top if name.strip().lower() in UNLABELLED_FOLDERS]
    for name in unlabelled:
        if name != "unlabelled":
            say(f"the folder {name!r} of {data_dir} is read as unlabelled")
    named = [name for name in top if name not in unlabelled]
    warn_of_unread_tables(data_dir, named, suffixes, say)
    if _are_splits(named):
        return _split_roles(data_dir, named, suffixes, say)
    _refuse_what_is_no_class(data_dir, named, suffixes)
    return _class_roles_with_splits(data_dir, named, suffixes, say) or {name: FolderRole(name, "") for name in named}


def role_of(path: str, roles: Mapping[str, FolderRole]) -> FolderRole:
    folders = path.split("/")[:-1]
    for depth in range(1, len(folders) + 1):
        role = roles.get("/".join(folders[:depth]))
        if role is not None:
            return role
    return FolderRole("", "")


def _without_split(name: str) -> str:
    """Words of a name apart from its split: `cats` for `cats_train`, none for `train_set`."""
    return " ".join(word for word in words_of(name) if word not in {*SPLIT_WORDS, *CONTAINER_WORDS, "set", "data", "v"})


def _are_splits(names: list[str]) -> bool:
    """Whether the names are those of splits: all name a split and nothing else, or name two splits; or two differ only
    in the split, like seg_train and seg_test next to seg_pred. But positive_test and negative_test are classes."""
    by_rest: dict[str, set[str]] = {}
    for name in names:
        by_rest.setdefault(_without_split(name), set()).update({split_named(name) or ""} - {""})
    if names and all(split_named(name) for name in names):
        return list(by_rest) == [""] or len(set().union(*by_rest.values())) > 1
    return any(len(splits) > 1 for splits in by_rest.values())


def _split_roles(
    data_dir: Path, names: list[str], suffixes: Collection[str], say: Callable[[str], None]
) -> Mapping[str, FolderRole]:
    splits = {name: split for name in names if (split := split_named(name)) is not None}
    roots = {name: _unwrapped(data_dir, name, suffixes) for name in splits}
    classes = {name: folders_in(data_dir / root) for name, root in roots.items()}
    sets = [{name.strip() for name in found} for found in classes.values()]
    are_alike = all(found == sets[0] for found in sets) and len(sets[0]) > 1 and not _are_containers(sets[0])
    if len(splits) < len(names) or "train" not in splits.values() or not are_alike:
        raise LayoutError(_what_splits_hold(data_dir, names, classes, roots, suffixes))
    say(
        f"the folders of {data_dir} are used as splits, the folders below them as {len(sets[0])} classes: "
        + ", ".join(f"{name!r} for {split}" for name, split in splits.items())
    )
    return {
        f"{roots[name]}/{label}": FolderRole(label, split) for name, split in splits.items() for label in classes[name]
    }


def _unwrapped(data_dir: Path, name: str, suffixes: Collection[str]) -> str:
    """The innermost folder: `seg_train/seg_train` for seg_train that contains nothing else."""
    root = name
    while [root.rpartition("/")[2]] == folders_in(data_dir / root) and not num_samples_in(data_dir / root, suffixes):
        root = f"{root}/{name}"
    return root


def _what_splits_hold(
    data_dir: Path,
    names: list[str],
    classes: Mapping[str, list[str]],
    roots: Mapping[str, str],
    suffixes: Collection[str],
) -> str:
    lines = []
    for name in names:
        if name not in classes:
            lines.append(f"  {name!r}: not a word for a split")
            continue
        num_samples = num_samples_in(data_dir / roots[name], suffixes)
        loose = f", and {num_samples} sample(s) in no class folder" if num_samples else ""
        lines.append(f"  {name!r}, for {split_named(name)}: {listed(classes[name]) or 'no class folders'}{loose}")
    return (
        f"the folders of {data_dir} seem to be splits, not classes:\n" + "\n".join(lines) + "\n"
        "They are used as splits if one is for training, the same class folders (two or more) are below each, and "
        "there is no other folder next to them. Do one of the following:\n"
        f"  - arrange them as {data_dir}/train/CLASS/..., {data_dir}/test/CLASS/...; samples without a class belong in "
        f"{data_dir}/unlabelled/\n"
        f"  - drop these splits, and let Graft split the data: {data_dir}/CLASS/...\n"
        f"  - write {data_dir}/labels.csv with the columns path, label and split; if these folders really are classes, "
        "with path and label"
    )


def _class_roles_with_splits(
    data_dir: Path, names: list[str], suffixes: Collection[str], say: Callable[[str], None]
) -> dict[str, FolderRole]:
    """Roles for data/cat/train, data/cat/test, data/dog/train...; empty if the folders in classes are not splits."""
    below = {name: folders_in(data_dir / name) for name in names}
    splits = {
        name: {folder: split for folder in folders if (split := split_named(folder, is_alone=True))}
        for name, folders in below.items()
    }
    found = {split for of_class in splits.values() for split in of_class.values()}
    if len(names) < 2 or len(found) < 2:
        return {}
    divided = [
        name for name in names
        if splits[name] and len(splits[name]) == len(below[name]) and not num_samples_in(data_dir / name, suffixes)
    ]  # fmt: skip
    if others := [name for name in names if name not in divided]:
        raise LayoutError(
            f"some folders of {data_dir} are divided into {', '.join(sorted(found))}, but these are not, or hold "
            f"other entries too: {listed(others)}. Divide all of them, or none, or write {data_dir}/labels.csv with "
            "the columns path, label and split."
        )
    say(f"the folders below the classes of {data_dir} are used as splits: {', '.join(sorted(found))}")
    return {
        f"{name}/{folder}": FolderRole(name, split)
        for name, of_class in splits.items()
        for folder, split in of_class.items()
    }


def _refuse_what_is_no_class(data_dir: Path, names: list[str], suffixes: Collection[str]) -> None:
    if len(names) == 1:
        (name,) = names
        inner = folders_in(data_dir / name)
        table = next((table for table in TABLES if (data_dir / name / table).is_file()), None)
        if (inner and not num_samples_in(data_dir / name, suffixes)) or table:
            found = f"the table {table}" if table else f"the folders {listed(inner)}"
            raise LayoutError(
                f"{data_dir} holds one folder, {name!r}, and in it {found}. The folders of {data_dir} itself "
                f"are the classes, and its own labels.csv is the table: move what is in {data_dir / name!s} up into "
                f"{data_dir}."
            )
    elif names and _are_containers(names):
        raise LayoutError(
            f"the folders of {data_dir} ({listed(names)}) are named after their contents, not after classes. Put the "
            f"samples of each class into a folder of its own ({data_dir}/CLASS/...), or write {data_dir}/labels.csv "
            "with the columns path and label. If they are classes, say so in such a table."
        )


def _are_containers(names: Collection[str]) -> bool:
    return all(re.sub(r"[\W_]+", "", name).lower() in CONTAINER_WORDS for name in names)

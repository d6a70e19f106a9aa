"""params.yaml as it is read: every mistake is named with its key, together with all others."""

from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from graft.core.config import Params
from graft.core.errors import ParamsError
from graft.core.yaml_files import read_yaml, shown

MOVED = {
    "scratch": "baseline",
    "converge": "baseline.longer",
    "check_transfer.scratch_bar": "check_transfer.baseline_bar",
    "arms.image_size_px": "inputs.image_size_px",
    "arms.views": "inputs.views",
    "arms.augmentation": "inputs.augmentation",
    "arms.num_augmented_views": "inputs.num_augmented_views",
}
"""Key in older versions of params.yaml -> its present key."""


def load_params(path: Path) -> Params:
    """
    Raises:
        ParamsError: lists every mistake with its key, what is allowed and what was found.
    """
    content = read_yaml(path, ParamsError)
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        mistakes = [f"  {_mistake(detail)}" for detail in error.errors()]
        raise ParamsError(f"{path} holds {len(mistakes)} mistake(s):\n" + "\n".join(mistakes)) from error


def _mistake(detail: ErrorDetails) -> str:
    steps, kind, words, found = list(detail["loc"]), detail["type"], detail["msg"], detail["input"]
    if steps[:1] == ["inputs"]:
        del steps[1:2]  # the modality, which pydantic puts there
    if kind == "union_tag_invalid":
        steps, words, found = [*steps, "modality"], f"must be {detail['ctx']['expected_tags']}", found["modality"]
    if kind == "union_tag_not_found":
        steps, kind = [*steps, "modality"], "missing"
    key = ".".join(str(step) for step in steps)
    if kind == "missing":
        return f"{key}: this key is missing"
    if kind == "extra_forbidden":
        words = f"this is {MOVED[key]} now" if key in MOVED else "no such key; check its spelling"
    return f"{key}: {words} (found: {shown(found)})"

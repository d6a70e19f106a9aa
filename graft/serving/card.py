"""Model card for users of the ONNX file: one page of Markdown."""

from dataclasses import dataclass
from pathlib import Path

import jinja2

from graft.core.arms import BASELINE
from graft.core.markdown import as_markdown
from graft.core.percentages import percent, percent_range
from graft.data.profile import Profile
from graft.experiment.result import ArmResult
from graft.networks.model_config import ModelConfig
from graft.selection.result import Selection
from graft.serving.onnx import INPUT_NAME, OUTPUT_NAME
from graft.serving.recipe import RECIPE
from graft.serving.result import Export
from graft.transfer.ledger import choices_in_words, uses_in_words
from graft.transfer.verdict import Verdict

MAX_CLASSES_IN_TABLE = 20
FEW_TEST_IMAGES = 30


@dataclass(frozen=True)
class CardContent:
    profile: Profile
    selection: Selection
    model: ModelConfig
    transfer: ArmResult
    baseline: ArmResult
    verdict: Verdict
    export: Export


def render_card(content: CardContent) -> str:
    """Card as Markdown. The function is pure: equal contents give equal text."""
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.FileSystemLoader(Path(__file__).parent), jinja2.DictLoader({"the recipe": RECIPE})]
        ),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: as_markdown(value) if isinstance(value, str) else value,
    )
    environment.filters |= {"percent": percent, "percent_range": percent_range}
    profile, selection = content.profile, content.selection
    total_by_class = {name: sum(of_split[name] for of_split in profile.counts.values()) for name in profile.classes}
    return environment.get_template("card.md").render(
        **vars(content),
        random=BASELINE.starts_from,
        classes=content.model.classes,
        is_short=len(content.model.classes) <= MAX_CLASSES_IN_TABLE,
        splits=list(profile.counts),
        counts=profile.counts,
        total_by_class=total_by_class,
        source=selection.chosen_score,
        level=f"{100 * (1 - content.verdict.alpha):g}",
        choices=choices_in_words(content.verdict),
        uses=uses_in_words(content.verdict),
        scarce=[name for name in profile.classes if profile.counts["test"][name] < FEW_TEST_IMAGES],
        few=FEW_TEST_IMAGES,
        input_name=INPUT_NAME,
        output_name=OUTPUT_NAME,
    )

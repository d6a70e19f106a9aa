"""Style of all plots, and their conversion to inline SVG.

Equal inputs give equal bytes; colours are the page's CSS variables, so they follow its theme.

A plot is 420 units wide with 12-unit text: readable at 350 px on a phone as well as at 520 px on a desktop.
"""

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from graft.core.arms import ArmName

WIDTH = 420
POINTS_PER_INCH = 72
INK, MUTED, LINE, ACCENT, ACCENT_SOFT, ACCENT_FAINT, OTHER, HARM, SURFACE = (
    "#17201d", "#5a6661", "#d5dcd9", "#0f6b5d", "#6fa79e", "#c3dad6", "#68726f", "#a3211f", "#fefefe",
)  # fmt: skip
CSS_COLOURS = {
    INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)", ACCENT: "var(--accent)",
    ACCENT_SOFT: "var(--accent-soft)", ACCENT_FAINT: "var(--accent-faint)", OTHER: "var(--other)",
    HARM: "var(--harm)", SURFACE: "var(--surface)",
}  # fmt: skip
STYLE: Sequence[str | dict[str, Any]] = [
    "default",
    {
        "svg.fonttype": "none", "svg.hashsalt": "graft", "text.parse_math": False, "font.size": 12,
        "text.color": INK, "axes.labelcolor": MUTED, "axes.edgecolor": LINE, "axes.facecolor": "none",
        "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True,
        "grid.color": LINE, "grid.linewidth": 0.6, "xtick.color": LINE, "ytick.color": LINE,
        "xtick.labelcolor": MUTED, "ytick.labelcolor": INK, "figure.facecolor": "none", "legend.frameon": False,
    },
]  # fmt: skip
ARM_LOOKS: dict[ArmName, dict[str, Any]] = {
    "transfer": {"color": ACCENT, "marker": "o", "linestyle": "-"},
    "baseline": {"color": OTHER, "marker": "s", "linestyle": "--"},
}


def svg(figure: Figure, name: str, label: str) -> Markup:
    """Figure as an <svg> element whose ids begin with `name`; screen readers read `label`."""
    target = io.StringIO()
    with warnings.catch_warnings():
        # the reader's browser brings its own fonts
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(target, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    _, svg_tag, content = re.split(r"(<svg [^>]*>)", target.getvalue(), maxsplit=1)
    content = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", content, flags=re.DOTALL)
    content = re.sub(r"<[^>]+>", lambda tag: _for_page(tag.group(), name), content)
    view_box = re.findall(r'viewBox="[^"]*"', svg_tag)[0]
    return Markup(f'<svg role="img" aria-label="{escape(label)}" {view_box}>{content}')


def _for_page(tag: str, name: str) -> str:
    tag = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag)
    for colour, variable in CSS_COLOURS.items():
        tag = tag.replace(colour, variable)
    return tag


def percent_tick(share: float, _: float) -> str:
    return f"{100 * share:.4g} %"


def inches(width: float, height: float) -> tuple[float, float]:
    return width / POINTS_PER_INCH, height / POINTS_PER_INCH


def listing(values: Sequence[float], pattern: str) -> str:
    """Comma-separated values for the label that a screen reader reads."""
    return ", ".join(f"{value:{pattern}}" for value in values)

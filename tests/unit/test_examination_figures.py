"""The plots of the examination say in words what they show."""

import re

import pytest
from examinations import an_examination

from graft.report.examination_figures import accuracy_by_severity, reliability

pytestmark = pytest.mark.unit


def test_the_reliability_plot_names_confidence_and_accuracy_of_both_arms() -> None:
    said = _said(reliability(an_examination()))
    assert "transfer, calibration error 12.0%: confidence 0.60, 0.80, 0.90, accuracy 0.50, 0.70, 0.80" in said
    assert "baseline, calibration error 12.0%" in said


def test_the_plot_of_severities_has_one_panel_per_corruption_and_starts_with_the_clean_images() -> None:
    plot = accuracy_by_severity(an_examination())
    said = _said(plot)
    for words in ("Blur", "Noise", "Brightness", "JPEG compression"):
        assert f"{words}, transfer: 90.0%, 90.0%, 90.0%, 90.0%" in said
        assert f"{words}, baseline: 80.0%, 80.0%, 80.0%, 80.0%" in said
        assert f">{words}<" in plot
    assert plot.count(">clean<") == 2


def test_colours_are_those_of_the_page() -> None:
    for plot in (reliability(an_examination()), accuracy_by_severity(an_examination())):
        assert "var(--accent)" in plot
        assert not re.findall("#[0-9a-f]{6}", plot)


def _said(plot: str) -> str:
    found = re.search(r'aria-label="([^"]+)"', plot)
    assert found is not None
    return found.group(1)

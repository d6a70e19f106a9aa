"""Summary of a run on one screen."""

from collections import Counter
from textwrap import TextWrapper

from graft.core.arms import ARMS, BASELINE
from graft.core.artifacts import ACCEPTED_DATA, GIVEN_SPLITS, ONNX_MODEL, REJECTED_SOURCES, REPORT, TEST_USES
from graft.core.paths import costs
from graft.core.percentages import percent_with_range
from graft.data.profile import Profile
from graft.experiment.result import ArmResult
from graft.project import Project
from graft.selection.result import Selection
from graft.serving.result import Export
from graft.training.costs import costs_of, in_words
from graft.transfer.labels_saved import LabelsSaved
from graft.transfer.ledger import uses_in_words
from graft.transfer.rejected import RejectedSources
from graft.transfer.verdict import Verdict
from graft.validation.result import Change, Validation

SCREEN_WIDTH = 110
MAX_LINES = 28
CUT = " … (see the report)"


def summarise(project: Project) -> str:
    """Summary of at most MAX_LINES lines of at most SCREEN_WIDTH characters."""
    profile = project.load(Profile)
    selection = project.load(Selection)
    transfer = project.load(ArmResult, ARMS["transfer"].folder)
    baseline = project.load(ArmResult, ARMS["baseline"].folder)
    verdict = project.load(Verdict)
    export = project.load(Export)
    num_candidates = len(selection.ranking) + len(selection.excluded)
    splits = ", ".join(f"{sum(counts.values())} {split}" for split, counts in profile.counts.items())
    parity = (
        f"{project.path(ONNX_MODEL)}; {export.num_agreeing} of {export.num_compared} test images get PyTorch's "
        f"class, probabilities within {export.max_probability_difference:.0e}"
        if export.exported
        else "none: " + export.reason
    )
    changed = ["dvc.lock", "data.dvc", GIVEN_SPLITS, TEST_USES]
    if not verdict.is_rejected:
        changed.append(ACCEPTED_DATA)
    if project.kept(RejectedSources).rejected:
        changed.append(REJECTED_SOURCES)
    head = f"""
  {verdict.badge}
  {verdict.weakest_in_words}
"""
    body = f"""
  data       {profile.num_samples} images of {len(profile.classes)} classes: {splits}
             {_data_notes(project, profile)}
  source     {selection.chosen}, of {num_candidates}: {selection.reason}
  transfer   {percent_with_range(verdict.scores["transfer"].accuracy)} test accuracy, the exported model \
{percent_with_range(verdict.scores["transfer"].shipped_accuracy)}
  baseline   {percent_with_range(verdict.scores["baseline"].accuracy)} {BASELINE.how}{_majority(baseline)}, \
{baseline.convergence}
  watch      {watch_notes(transfer, baseline, verdict)}
  cost       {_cost_notes(project, verdict)}
  gain       {verdict.gain_points.in_points}, {_counted(verdict)}
{_uses(verdict)}  verdict    {verdict.claim}
{_longer(verdict)}{_labels(project)}  ONNX       {parity}
  report     {project.path(REPORT)}
"""
    foot = f"""
  next       source .venv/bin/activate
             dvc metrics show                             the numbers; compare by the validation ones
             dvc exp run -S finetune.num_epochs=2         try a change
             mlflow ui --backend-store-uri sqlite:///.graft/mlflow.db
             git add {" ".join(changed)} && git commit   keep it
"""
    return fit_to_screen(head, body, foot)


def fit_to_screen(head: str, body: str, foot: str) -> str:
    """All lines, wrapped to SCREEN_WIDTH; entries of the body are shortened as far as needed for MAX_LINES."""
    for most in range(MAX_LINES, 0, -1):
        lines = [
            part
            for text, max_lines in ((head, MAX_LINES), (body, most), (foot, MAX_LINES))
            for line in text.splitlines()
            for part in _wrapped(line, max_lines)
        ]
        if len(lines) <= MAX_LINES:
            break
    return "\n".join(lines)


def _wrapped(line: str, max_lines: int) -> list[str]:
    wrapper = TextWrapper(
        width=SCREEN_WIDTH, subsequent_indent=" " * 13, break_on_hyphens=False, max_lines=max_lines, placeholder=CUT
    )
    return wrapper.wrap(line) or [""]


def _counted(verdict: Verdict) -> str:
    groups = f" in {verdict.num_units} independent groups" if verdict.num_units < verdict.num_test else ""
    uses = ", used for this verdict only" if verdict.num_test_uses == 1 else ""
    return f"{verdict.num_seeds} seeds x {verdict.num_test} test images{groups}{uses}"


def _uses(verdict: Verdict) -> str:
    return f"  test split {uses_in_words(verdict)}\n" if verdict.num_test_uses > 1 else ""


def _majority(baseline: ArmResult) -> str:
    return f" (guessing: {baseline.majority_accuracy:.1%})"


def _longer(verdict: Verdict) -> str:
    return f"  longer     {verdict.against_longer.claim}\n" if verdict.against_longer else ""


def _labels(project: Project) -> str:
    found = project.load(LabelsSaved)
    return f"  labels     {found.claim}\n" if found.needed else ""


def watch_notes(transfer: ArmResult, baseline: ArmResult, verdict: Verdict) -> str:
    rules = Counter(
        f"{found.rule} ({arm.arm})"
        for arm in (transfer, baseline)
        for found in verdict.findings_of(arm.arm, arm.findings)
    )
    found = [f"{rule} in {num} seed(s)" for rule, num in rules.items()]
    found += [
        f"collapsed ({arm}) seed(s) {', '.join(map(str, score.collapsed_seeds))}"
        for arm, score in verdict.scores.items()
        if score.collapsed_seeds
    ]
    return f"{', '.join(found)}; see the report" if found else "nothing went wrong in training"


def _cost_notes(project: Project, verdict: Verdict) -> str:
    return in_words(costs_of(costs(project.root), project.artifacts, verdict.seeds), verdict.num_seeds)


def _data_notes(project: Project, profile: Profile) -> str:
    validation = project.load(Validation)
    change = project.load(Change)
    num_warnings = sum(not item.passed for item in [*validation.expectations, *change.expectations])
    numbers = {
        "quarantined": profile.num_quarantined,
        "exact copies set aside": profile.num_duplicates,
        "near duplicates set aside": profile.num_leaks,
        "unlabelled": profile.num_unlabelled,
        "not in the table": profile.num_not_described,
        "note(s) on reading the data": len(profile.notes),
    }
    notes = [f"{number} {words}" for words, number in numbers.items() if number or words == "quarantined"]
    return ", ".join(notes) + (f"; {num_warnings} warning(s) of the validation, see the report" if num_warnings else "")

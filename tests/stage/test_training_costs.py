"""What `dvc repro` leaves of the cost of its trainings."""

from pathlib import Path

from graft.core import paths
from graft.training.costs import costs_of, in_words
from graft.transfer.verdict import Verdict


def test_every_seed_of_both_arms_has_a_cost_and_no_output_of_dvc_tells_it(finished: Path) -> None:
    artifacts = finished / "artifacts"
    seeds = Verdict.load(artifacts / "verdict.json").seeds
    by_arm = costs_of(paths.costs(finished), artifacts, seeds)
    texts = [path.read_text() for kind in ("json", "csv", "html") for path in artifacts.rglob(f"*.{kind}")]
    assert len(texts) > 20
    for of_seeds in by_arm.values():
        assert list(of_seeds) == seeds
        for cost in of_seeds.values():
            assert cost.seconds > 0
            assert cost.energy_wh is not None
            assert cost.energy_wh > 0
            assert cost.co2_g is not None
            assert 0 < cost.co2_g < cost.energy_wh  # below a kilogram a kilowatt-hour
            assert not any(str(cost.seconds) in text for text in texts)
    assert "of the energy (energy" in in_words(by_arm, len(seeds))

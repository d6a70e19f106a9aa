"""What training cost: kept by arm and seed, put into words, and measured or said to be estimated."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from codecarbon import OfflineEmissionsTracker
from codecarbon.external.hardware import CPU, GPU, MODE_CPU_LOAD
from metering import TICK

from graft.core.arms import ARMS, ArmName
from graft.core.errors import ParamsError
from graft.training.costs import Cost, add_costs, costs_of, in_words
from graft.training.meter import Meter, carbon_intensity, energy_basis

SLEEP_S = 0.3


def _cost(seconds: float, energy_wh: float | None = 2.0) -> Cost:
    co2_g = None if energy_wh is None else energy_wh / 2
    return TICK.model_copy(update={"seconds": seconds, "energy_wh": energy_wh, "co2_g": co2_g})


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """With the predictions of two arms."""
    for arm, files in ARMS.items():
        path = tmp_path / "artifacts" / files.predictions
        path.parent.mkdir(parents=True)
        path.write_text(f"of {arm}")
    return tmp_path / "artifacts"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / ".graft" / "costs.json"


def _nothing() -> dict[ArmName, dict[int, Cost]]:
    return {"transfer": {}, "baseline": {}}


def test_without_a_file_nothing_was_measured_and_the_words_say_so(artifacts: Path, file: Path) -> None:
    assert costs_of(file, artifacts, [0, 1]) == _nothing()
    assert in_words(_nothing(), 2).startswith("nothing was measured")


def test_the_seeds_that_a_later_stage_adds_join_those_of_the_arm(artifacts: Path, file: Path) -> None:
    add_costs(file, artifacts, "transfer", {0: _cost(3), 1: _cost(4)})
    add_costs(file, artifacts, "baseline", {0: _cost(5)})
    add_costs(file, artifacts, "transfer", {2: _cost(6)})
    assert costs_of(file, artifacts, [0, 1, 2]) == {
        "transfer": {0: _cost(3), 1: _cost(4), 2: _cost(6)}, "baseline": {0: _cost(5)}
    }  # fmt: skip
    assert list(costs_of(file, artifacts, [2])["transfer"]) == [2]


def test_costs_belong_to_the_very_arm_that_was_trained(artifacts: Path, file: Path) -> None:
    predictions = artifacts / ARMS["transfer"].predictions
    add_costs(file, artifacts, "transfer", {0: _cost(3)})
    predictions.write_text("of another training")
    assert costs_of(file, artifacts, [0]) == _nothing()
    predictions.write_text("of transfer")  # as DVC brings it back
    assert costs_of(file, artifacts, [0])["transfer"] == {0: _cost(3)}


def test_stages_that_write_at_a_time_lose_nothing(artifacts: Path, file: Path) -> None:
    def add(number: int) -> None:
        arm: ArmName = "transfer" if number % 2 else "baseline"
        add_costs(file, artifacts, arm, {number: _cost(number)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    found = costs_of(file, artifacts, list(range(40)))
    assert sorted([*found["transfer"], *found["baseline"]]) == list(range(40))


def test_a_damaged_file_is_said_and_begun_anew(artifacts: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_costs(file, artifacts, "transfer", {0: _cost(3)})
    file.write_text(file.read_text()[:50])
    assert costs_of(file, artifacts, [0]) == _nothing()
    assert "cannot be read" in capsys.readouterr().out
    add_costs(file, artifacts, "transfer", {1: _cost(4)})
    assert costs_of(file, artifacts, [0, 1])["transfer"] == {1: _cost(4)}


def test_the_words_give_means_the_ratio_and_what_the_energy_rests_on() -> None:
    words = in_words({"transfer": {0: _cost(3), 1: _cost(5)}, "baseline": {0: _cost(16, 8), 1: _cost(16, 8)}}, 2)
    assert words == (
        "per seed: transfer 4 s, 2 Wh, 1 g CO2; baseline 16 s, 8 Wh, 4 g CO2; transfer takes 0.25 of the time, 0.25 of "
        "the energy (energy estimated: 8 W for a busy processor, and memory; world average, 475 g CO2 per kWh)"
    )


def test_the_words_say_of_which_seeds_and_what_is_not_known() -> None:
    words = in_words({"transfer": {0: _cost(3)}, "baseline": {}}, 2)
    assert "transfer 3 s, 2 Wh, 1 g CO2 (1 of 2 seeds); baseline was not trained here" in words
    assert "of the time" not in words
    words = in_words({"transfer": {0: _cost(3, None)}, "baseline": {0: _cost(4)}}, 1)
    assert "transfer 3 s, energy not known; baseline 4 s, 2 Wh" in words
    assert "transfer takes 0.75 of the time (" in words


def test_parts_that_were_measured_differently_both_say_how() -> None:
    measured = TICK.model_copy(update={"energy_basis": "processor energy measured, memory estimated"})
    assert (TICK + measured + TICK).energy_basis == f"{TICK.energy_basis}; {measured.energy_basis}"
    assert (TICK + _cost(1, None)).energy_wh is None


def test_the_country_says_how_much_co2_a_kilowatt_hour_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAFT_COUNTRY", raising=False)
    assert carbon_intensity() == (pytest.approx(475), "world average, 475 g CO2 per kWh")
    monkeypatch.setenv("GRAFT_COUNTRY", "fra")
    intensity, words = carbon_intensity()
    assert intensity < 100
    assert words == f"FRA, {intensity:.0f} g CO2 per kWh"


@pytest.mark.parametrize("country", ["Germany", "DE", "XXX"])
def test_a_country_that_is_none_is_named_before_anything_is_trained(
    country: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFT_COUNTRY", country)
    with pytest.raises(ParamsError, match=f"GRAFT_COUNTRY={country} is not a country .* ISO 3166"):
        Meter(torch.device("cpu"))


def test_the_meter_asks_nobody_and_leaves_nothing_whatever_codecarbon_is_configured_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAFT_COUNTRY", raising=False)
    monkeypatch.setenv("CODECARBON_SAVE_TO_API", "true")
    monkeypatch.setenv("CODECARBON_OUTPUT_METHODS", "csv,api")
    monkeypatch.setenv("CODECARBON_ELECTRICITYMAPS_API_TOKEN", "a token")
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: asked.append(address))
    first, second = _watts(monkeypatch, local_rank=0), _watts(monkeypatch, local_rank=1)
    assert first > second  # the memory of the machine is counted once, however many of its processes train together
    assert asked == []
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def _watts(monkeypatch: pytest.MonkeyPatch, local_rank: int) -> float:
    monkeypatch.setenv("LOCAL_RANK", str(local_rank))
    meter = Meter(torch.device("cpu"))
    meter.start()
    time.sleep(SLEEP_S)
    cost = meter.stop()
    assert cost.seconds >= SLEEP_S
    assert cost.energy_wh is not None
    assert cost.co2_g == pytest.approx(0.475 * cost.energy_wh)
    assert meter.stop().energy_wh == 0
    return 3600 * cost.energy_wh / cost.seconds


def test_no_training_ends_for_its_meter(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(_self: OfflineEmissionsTracker) -> None:
        raise OSError("no such counter")

    monkeypatch.setattr(OfflineEmissionsTracker, "start_task", fail)
    meter = Meter(torch.device("cpu"))
    meter.start()
    cost = meter.stop()
    assert cost.seconds >= 0
    assert cost.energy_wh is None
    assert "OSError: no such counter" in cost.energy_basis
    assert "OSError: no such counter" in capsys.readouterr().out


def test_energy_is_called_measured_only_where_a_counter_is_read(tmp_path: Path) -> None:
    domain = tmp_path / "intel-rapl:0"
    domain.mkdir()
    for name, content in {"name": "package-0", "energy_uj": "1000000", "max_energy_range_uj": "262143328850"}.items():
        (domain / name).write_text(content)
    counted = CPU(".", "intel_rapl", "a processor", 65, rapl_dir=str(tmp_path))
    rated = CPU(".", MODE_CPU_LOAD, "a processor", 65)
    gpu = GPU([])  # as codecarbon has it of a machine without one
    on_cpu, on_gpu = torch.device("cpu"), torch.device("cuda")
    assert energy_basis([counted, gpu], on_cpu) == "processor energy measured, memory estimated"
    assert energy_basis([counted, gpu], on_gpu) == "GPU and processor energy measured, memory estimated"
    assert energy_basis([rated], on_cpu) == "energy estimated: 65 W for a busy processor, and memory"
    assert energy_basis([rated, gpu], on_gpu).startswith("GPU energy measured, otherwise estimated: 65 W")
    assert energy_basis([rated], on_gpu).endswith("and memory; GPU not included")


def test_the_power_of_a_processor_can_be_said_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECARBON_FORCE_CPU_POWER", "1234")
    meter = Meter(torch.device("cpu"))
    meter.start()
    assert meter.stop().energy_basis == "energy estimated: 1234 W for a busy processor, and memory"

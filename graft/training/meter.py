"""Time and energy of a training: wall-clock time, and energy measured by codecarbon.

Energy is measured if the machine gives access to its counters (RAPL of the processor, NVML of an NVIDIA GPU). Otherwise
codecarbon estimates it: a processor from its rated power times the share that this process uses, memory from its
modules. Each cost states which. Nothing is sent anywhere, and only `SeedMeter` writes a file.
"""

import json
import logging
import math
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from graft.core.errors import GraftError, ParamsError
from graft.core.files import write_json
from graft.training.costs import Cost
from graft.training.observer import StepTaken, TrainingObserver
from graft.training.processes import sum_over_processes

logger = logging.getLogger(__name__)

COUNTRY = "GRAFT_COUNTRY"
SAVE_INTERVAL_S = 30.0
"""Interval of saving the cost so far; a killed training loses at most this much of its cost."""
SAMPLING_INTERVAL_S = 10.0
"""Interval of codecarbon's samples of a process and its children, which cost milliseconds with many processes."""


def carbon_intensity() -> tuple[float, str]:
    """CO2 equivalents of electricity, in g per kWh, and a description of the value.

    The value for the country in GRAFT_COUNTRY, otherwise the world average; both from codecarbon's tables.

    Raises:
        ParamsError: the country in GRAFT_COUNTRY is not in these tables.
    """
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    _silence_codecarbon()
    given = os.environ.get(COUNTRY, "")
    country = given.upper()
    tables = DataSource()
    if country and country not in tables.get_global_energy_mix_data():
        raise ParamsError(
            f"{COUNTRY}={given} is not a country in codecarbon's tables. Use its three-letter code of ISO 3166, "
            "such as DEU or USA, or unset it for the world average."
        )
    place = GeoMetadata(country_iso_code=country)
    intensity = 1000 * Emissions(tables).get_country_emissions(Energy.from_energy(kWh=1), place)
    return intensity, f"{country or 'world average'}, {intensity:.0f} g CO2 per kWh"


class Meter:
    """Meter of this process and its children, and of the GPU that it trains on."""

    def __init__(self, device: torch.device) -> None:
        """
        Raises:
            ParamsError: see `carbon_intensity`.
        """
        self._carbon_g_per_kwh, self._carbon_basis = carbon_intensity()
        self._device = device
        self._started_s = 0.0
        self._tracker: Any = None
        self._is_processor_measured = False
        self._energy_basis = ""
        """Description of the measurement; empty: not set up yet."""

    def start(self) -> None:
        if not self._energy_basis:
            self._set_up()
        if self._tracker is not None:
            self._tracker.start_task()
        self._started_s = time.monotonic()

    def stop(self) -> Cost:
        """Cost since `start`, or since the last `stop`."""
        now_s = time.monotonic()
        seconds, self._started_s = now_s - self._started_s, now_s
        energy_wh = None if self._tracker is None else self._own_energy_wh()
        return Cost(
            seconds=seconds,
            energy_wh=energy_wh,
            co2_g=None if energy_wh is None else energy_wh / 1000 * self._carbon_g_per_kwh,
            energy_basis=self._energy_basis,
            carbon_basis=self._carbon_basis,
        )

    def _set_up(self) -> None:
        try:
            tracker = _tracker(self._device)
            self._is_processor_measured = _is_measured(_processor_of(tracker._hardware))
            self._energy_basis = energy_basis(tracker._hardware, self._device)
            self._tracker = tracker
        except GraftError:  # SIGTERM
            raise
        except Exception as error:  # machines differ: no training may fail because of its meter
            self._energy_basis = f"energy not known, codecarbon stopped with {type(error).__name__}: {error}"
            logger.warning(f"  {self._energy_basis}")

    def _own_energy_wh(self) -> float:
        """Energy without parts that another process of this machine reports: memory, and whole-processor counters."""
        energies = self._tracker.stop_task()
        if energies is None:  # it was already stopped, and interrupted before its next start
            return 0.0
        own_kwh = energies.gpu_energy
        is_first_of_machine = os.environ.get("LOCAL_RANK", "0") == "0"
        if is_first_of_machine:
            own_kwh += energies.ram_energy
        if is_first_of_machine or not self._is_processor_measured:
            own_kwh += energies.cpu_energy
        return 1000 * own_kwh


def energy_basis(hardware: list[Any], device: torch.device) -> str:
    """Parts of the energy that are measured, and the basis of the estimate of the rest.

    Args:
        hardware: found by codecarbon (codecarbon.external.hardware).
        device: device of the training.
    """
    from codecarbon.external.hardware import GPU

    processor = _processor_of(hardware)
    is_gpu_used = device.type != "cpu"
    is_gpu_read = is_gpu_used and any(isinstance(part, GPU) for part in hardware)
    if _is_measured(processor):
        basis = f"{'GPU and ' if is_gpu_read else ''}processor energy measured, memory estimated"
    else:
        estimate = f"estimated: {processor._tdp:.0f} W for a busy processor, and memory"
        basis = f"GPU energy measured, otherwise {estimate}" if is_gpu_read else f"energy {estimate}"
    return f"{basis}; GPU not included" if is_gpu_used and not is_gpu_read else basis


@cache
def meter_of(device: torch.device) -> Meter:
    """The meter of the whole process: codecarbon forgets its GPU when it is set up again."""
    return Meter(device)


class SeedMeter(TrainingObserver):
    """Meter of one seed's training, which several processes may run one after the other: each saves the cost so far in
    a file that the next one adds to."""

    def __init__(self, meter: Meter, kept: Path) -> None:
        self._meter, self._kept = meter, kept
        self._spent = _read(kept)
        self._kept_s = 0.0

    def __enter__(self) -> "SeedMeter":
        self._kept_s = time.monotonic()
        self._meter.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._add(self._meter.stop())

    def after_step(self, _taken: StepTaken) -> None:
        if time.monotonic() - self._kept_s >= SAVE_INTERVAL_S:
            self.so_far()

    def so_far(self) -> Cost:
        part = self._meter.stop()
        self._meter.start()
        return self._add(part)

    def _add(self, part: Cost) -> Cost:
        self._spent = part if self._spent is None else self._spent + part
        try:
            write_json(self._kept, self._spent.model_dump())
        except OSError as error:
            logger.warning(f"  the cost so far cannot be stored: {error}")
        self._kept_s = time.monotonic()
        return self._spent


def of_all_processes(cost: Cost, fabric: Fabric) -> Cost:
    """Cost of all processes that train together: the energies are added, the time is the same for all."""
    if fabric.world_size == 1:
        return cost
    energy_wh = sum_over_processes(math.nan if cost.energy_wh is None else cost.energy_wh, fabric)
    co2_g = sum_over_processes(math.nan if cost.co2_g is None else cost.co2_g, fabric)
    is_known = math.isfinite(energy_wh)
    return cost.model_copy(update={"energy_wh": energy_wh if is_known else None, "co2_g": co2_g if is_known else None})


def _tracker(device: torch.device) -> Any:
    """A tracker that is ready to start; detecting the processor takes it a second or two.

    Sending is off, whatever the user's `.codecarbon.config` says; facts about the machine can be set there
    (force_cpu_power, force_ram_power, pue).
    """
    from codecarbon import OfflineEmissionsTracker

    _silence_codecarbon()
    tracker: Any = OfflineEmissionsTracker(
        country_iso_code=None, region=None, cloud_provider=None, cloud_region=None,
        output_methods=[], emissions_endpoint=False, electricitymaps_api_token=False,
        tracking_mode="process", gpu_ids=_gpu_ids(device),
        allow_multiple_runs=True, log_level="critical",
    )  # fmt: skip
    tracker._scheduler_monitor_power.interval = SAMPLING_INTERVAL_S
    tracker.start_task()  # the first start detects the hardware
    tracker.stop_task()
    return tracker


def _gpu_ids(device: torch.device) -> list[int] | None:
    """NVML's index of the device, which CUDA_VISIBLE_DEVICES does not change; None: all GPUs."""
    if device.type != "cuda":
        return []
    import pynvml

    try:
        pynvml.nvmlInit()
        uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
        return [pynvml.nvmlDeviceGetIndex(pynvml.nvmlDeviceGetHandleByUUID(uuid))]
    except pynvml.NVMLError:  # a part of a GPU, or one of another vendor
        return None


def _processor_of(hardware: list[Any]) -> Any:
    from codecarbon.external.hardware import CPU

    return next(part for part in hardware if isinstance(part, CPU))


def _is_measured(processor: Any) -> bool:
    return processor._mode in ("intel_rapl", "intel_power_gadget", "windows_emi")


def _silence_codecarbon() -> None:
    """Silences its long description of the machine on stderr."""
    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)


def _read(kept: Path) -> Cost | None:
    try:
        return Cost.model_validate(json.loads(kept.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError:
        logger.warning(f"  {kept} cannot be read; the cost before this point is not included")
        return None

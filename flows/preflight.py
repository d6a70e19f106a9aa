"""Checks before any work starts, so that a mistake costs seconds and not a night."""

from flows.connections import require_servers
from graft.core.config import Params
from graft.core.files import require_disk_space
from graft.core.paths import user_cache
from graft.data.describe import describe_samples
from graft.data.stratify import SplitMemory
from graft.hub.catalogue import Source, load_catalogue
from graft.hub.fetch import fetch_weights
from graft.hub.samples import sample_images
from graft.hub.source_lookup import pick_sources
from graft.modalities import modality
from graft.networks.backbones import require_blocks, require_side
from graft.project import Project
from graft.selection.prior import gflops_of, why_excluded
from graft.training.meter import carbon_intensity
from graft.transfer.ledger import Ledger
from graft.transfer.rejected import RejectedSources
from graft.validation.suite import load_suite
from infra.repository import require_repository

NEEDED_BYTES = 3_000_000_000
"""Space for artifacts, their copies in the DVC cache, checkpoints and features of a mid-sized data set."""


def check_ready(project: Project) -> None:
    """Checks repository, params, suite, country, servers, data, catalogue, committed files of earlier runs (sources,
    verdicts, splits), weights and disk space.

    Raises:
        GraftError: the first check that fails; all mistakes in params.yaml are reported at once.
    """
    require_repository(project.root)
    params = project.params
    load_suite(project.expectations_file)
    carbon_intensity()
    sources = pick_sources(load_catalogue(project.sources_file), params.select.candidates, params.inputs.modality)
    for kind in (RejectedSources, Ledger, SplitMemory):
        project.kept(kind)
    require_servers(project.root)
    for folder in (project.artifacts, user_cache()):
        require_disk_space(folder, NEEDED_BYTES)
    for _ in describe_samples(project.data, modality(params.inputs.modality).suffixes, params.ingest.ignored_columns):
        pass
    for source in sources:
        require_blocks(source.architecture, params.finetune.num_trained_blocks)
        require_side(source.architecture, params.inputs.image_size_px)
        if _is_evaluated(source, params):
            fetch_weights(source)
    sample_images()  # select measures the target's distance from them


def _is_evaluated(source: Source, params: Params) -> bool:
    """Whether the licence policy and the limits on size allow the source; otherwise its weights are never needed."""
    reason = why_excluded(
        source,
        licences=params.select.licences,
        max_parameters=params.select.max_parameters,
        max_gflops=params.select.max_gflops,
        gflops=gflops_of(source, params.inputs.image_size_px),
    )
    return reason is None

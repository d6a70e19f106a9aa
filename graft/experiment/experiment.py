"""An experiment: both arms on a project's data, from the chosen source."""

from functools import cached_property

import torch

from graft.core.arms import ArmName
from graft.experiment.arms import arm_of
from graft.experiment.trainer import ArmTrainer
from graft.hub.catalogue import load_catalogue
from graft.hub.source_lookup import chosen_source
from graft.project import Project
from graft.selection.result import Selection
from graft.training.data import load_images_by_split


class Experiment:
    """Both arms of a project; images are decoded and weights loaded when the first trainer is needed."""

    def __init__(self, project: Project) -> None:
        """
        Raises:
            ContentChangedError: the source was chosen for another manifest, or has changed since.
            CatalogueError: the source is no longer in the catalogue.
        """
        self.project = project
        self.params = project.resolved_params
        selection = project.load(Selection)
        catalogue = load_catalogue(project.sources_file)
        self.source = chosen_source(catalogue, selection.chosen, selection.chosen_score.weights_sha256)
        self._trainers: dict[ArmName, ArmTrainer] = {}

    def trainer(self, name: ArmName) -> ArmTrainer:
        """The trainer of an arm, the same at each call; both arms share the decoded images."""
        if name not in self._trainers:
            arm = arm_of(name, self.params, self.source)
            self._trainers[name] = ArmTrainer(self.project, arm, self.source, self.project.manifest, self._images)
        return self._trainers[name]

    @cached_property
    def _images(self) -> dict[str, torch.Tensor]:
        return load_images_by_split(self.project.data, self.project.manifest, self.params.inputs.image_size_px)

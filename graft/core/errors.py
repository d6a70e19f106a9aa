"""Every error that a user can cause or fix.

    GraftError
    ├── ParamsError               params.yaml holds a mistake
    ├── DataError                 the user's data
    │   ├── NoDataError           nothing to learn from
    │   ├── LabelsError           labels.csv cannot be understood
    │   ├── LayoutError           the folders of data/ do not look like classes
    │   ├── ClassesError          one class only, or a class with too few samples
    │   ├── QuarantineError       too many unreadable files
    │   ├── WorkerDiedError       a process that read samples was killed
    │   ├── ContentChangedError   bytes differ from what the manifest or a checksum promised
    │   ├── SuiteError            expectations.yaml holds a mistake
    │   └── ExpectationsError     the data break an expectation
    ├── HubError                  the pretrained sources
    │   ├── CatalogueError        sources.yaml holds a mistake
    │   ├── DownloadError         weights or a package could not be fetched
    │   ├── RegistryError         the model registry lacks what a source names
    │   ├── HashMismatchError     fetched bytes are not the pinned ones
    │   ├── UnsafeWeightsError    a weights file holds more than tensors
    │   └── BackboneMismatchError weights and architecture do not fit
    ├── UnpairedRunsError         the arms do not share seeds and test items
    ├── DivergedError             every seed of an arm ended in a loss that is not finite
    ├── LedgerError               test_uses.json cannot be written, and the share of alpha depends on it
    ├── ParityError               ONNX and PyTorch disagree
    ├── PreemptedError            the machine is being reclaimed; finished work is kept
    ├── DiskSpaceError            not enough room to start
    ├── ServerError               a server that the run needs cannot be used
    ├── ProjectError              the folder is not a project that DVC can work in
    └── StageFailedError          a pipeline stage stopped

Each message says what happened, where, and what to do.
"""

from pathlib import Path
from typing import Self

from graft.core.addresses import without_passwords


class GraftError(Exception):
    """Root of the tree; `python -m tasks.X` prints it without a traceback and without the passwords of addresses."""

    def __str__(self) -> str:
        return without_passwords(super().__str__())


class ParamsError(GraftError):
    pass


class DataError(GraftError):
    pass


class NoDataError(DataError):
    pass


class LabelsError(DataError):
    pass


class LayoutError(DataError):
    pass


class ClassesError(DataError):
    pass


class QuarantineError(DataError):
    pass


class WorkerDiedError(DataError):
    pass


class ContentChangedError(DataError):
    @classmethod
    def of_artifact(cls, path: Path, error: Exception) -> Self:
        """Error for an artifact that could not be read because of `error`; a stage can write it again."""
        return cls(f"{path} is not what this version of Graft writes; create it again with: dvc repro\n{error}")


class SuiteError(DataError):
    pass


class ExpectationsError(DataError):
    pass


class HubError(GraftError):
    pass


class CatalogueError(HubError):
    pass


class DownloadError(HubError):
    pass


class RegistryError(HubError):
    pass


class HashMismatchError(HubError):
    pass


class UnsafeWeightsError(HubError):
    pass


class BackboneMismatchError(HubError):
    pass


class UnpairedRunsError(GraftError):
    pass


class DivergedError(GraftError):
    pass


class LedgerError(GraftError):
    pass


class ParityError(GraftError):
    pass


class PreemptedError(GraftError):
    pass


class DiskSpaceError(GraftError):
    pass


class ServerError(GraftError):
    pass


class ProjectError(GraftError):
    pass


class StageFailedError(GraftError):
    pass

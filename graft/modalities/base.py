"""Interface of a kind of sample: what a modality must know about its files and its tensors.

Everything outside of graft/modalities is the same for all of them. A modality knows neither the manifest nor other
modalities; ingest and training receive one (`graft.modalities.modality`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

if TYPE_CHECKING:  # reading files needs neither
    import pandas as pd
    from torch import Tensor, nn

HASH_BYTES, DESCRIPTOR_BYTES = 32, 128
"""Sizes of the two parts of a signature, the same for all modalities; see `Reading`."""


class Unusable(Exception):
    """Reason for quarantining a file; its text becomes the row's status."""

    def __init__(self, code: str, words: str) -> None:
        """
        Args:
            code: a key of `Modality.remedies`, or of FILE_REMEDIES in graft/data/reading.py.
        """
        super().__init__(f"{code}: {words}")


class Reading(NamedTuple):
    """Result of reading a file; for a quarantined one, everything known before reading failed."""

    sample_id: str = ""
    """sha256 of its bytes, in hex; filled in by graft/data/reading.py, like num_bytes."""
    num_bytes: int = 0
    measured: Mapping[str, str | float] = {}
    """Column of the manifest -> value; see `Modality.columns`. A missing column is empty, or 0."""
    perceptual_hash: str = ""
    """Hash of HASH_BYTES in hex, most bits of which near duplicates share."""
    descriptor: bytes = b""
    """Vector of DESCRIPTOR_BYTES uint8 numbers, which is similar for near duplicates that the hash misses."""
    note: str = ""
    """Peculiarity of the file that is no reason for quarantine."""
    status: str = "ok"


class Modality(Protocol):
    """One kind of sample, with the settings for reading its files; frozen, hashable and cheap to pickle."""

    name: ClassVar[str]
    """Name in `inputs.modality` of params.yaml and in `modality` of sources.yaml."""
    noun: ClassVar[str]
    """Word for one sample in messages."""

    # Files: used by ingest.
    suffixes: ClassVar[Mapping[str, str]]
    """Suffix of a file's name, in lower case with its dot -> format that it stands for."""
    columns: ClassVar[Mapping[str, str]]
    """Measurement -> pyarrow type: the manifest's columns between `split` and `duplicate_of`, in this order."""
    remedies: ClassVar[Mapping[str, str]]
    """Reason for quarantine -> what to do about it."""
    waivable: ClassVar[Mapping[str, str]]
    """Reason for quarantine that `ingest.accept` may waive -> how such files are then used."""

    def __hash__(self) -> int: ...

    @property
    def decoder(self) -> Sequence[str]:
        """Everything that decoding depends on besides the bytes and Graft's code: settings, library versions."""
        ...

    def read(self, content: bytes, name: str, accept: Collection[str], *, with_signature: bool) -> Reading:
        """Measures a file. The status of the result says if it cannot be used.

        Args:
            name: name of the file, whose suffix may be wrong.
            accept: reasons for quarantine that are waived.
            with_signature: also fill in the perceptual hash and the descriptor; without them, only the header needs to
                be read.
        Raises:
            Unusable: the reason for quarantine, if nothing is known. Any other error quarantines the file as damaged.
        """
        ...

    def remarks(self, row: Mapping[str, object]) -> list[str]:
        """Remarks on a used sample, in addition to its note.

        Args:
            row: row of the manifest.
        """
        ...

    def prepare(self, content: bytes) -> Any:
        """Prepares a file for comparison with many others."""
        ...

    def similarity(self, one: Any, other: Any) -> float:
        """Similarity of two prepared files: 0 (nothing in common, or too little detail) to 1 (the same sample)."""
        ...

    # Tensors: used by training and serving.
    def as_ingested(self, manifest: "pd.DataFrame") -> Self:
        """The modality with the settings that the manifest's samples were read with."""
        ...

    def inputs(self, size: int) -> "Inputs":
        """Conversion of files to network inputs; imports torch.

        Args:
            size: size of a row: pixels per side, tokens, samples of a waveform.
        """
        ...


class Inputs(Protocol):
    """Conversion of files to network inputs of one size: the same code in training and in the served model.

    N samples, B batch. A row is a decoded sample, resized to the size.
    """

    views: ClassVar[Mapping[str, Callable[["Tensor"], "Tensor"]]]
    """Transformations of a batch of rows that may leave the label unchanged, by name; at least `identity`."""

    @property
    def size_label(self) -> str:
        """The size as text, such as 160px; part of a folder's name."""
        ...

    def empty(self, num_samples: int, *, exact: bool) -> "Tensor":
        """Uninitialised tensor for the rows [N, ...]."""
        ...

    def row(self, content: bytes, *, exact: bool) -> "Tensor":
        """The row of one file.

        Args:
            exact: exactly the result of `fit`, as the served model computes it; otherwise rounded, which takes less
                memory.
        """
        ...

    def fit(self, raw: "Tensor") -> "Tensor":
        """Rows of a batch of raw samples, the inputs of the served model."""
        ...

    def expected(self, preprocessing: Any) -> "nn.Module":
        """Layer that converts a batch of rows to the input that a source was trained on.

        Args:
            preprocessing: preprocessing of an entry of sources.yaml, or of a model's config.
        """
        ...

    def augmented(self, rows_B: "Tensor", preset: str, seeds_B: "Tensor") -> "Tensor":
        """Randomly changed rows; each change is determined by the row's seed alone.

        Args:
            preset: see `inputs.augmentation` of params.yaml.
        """
        ...

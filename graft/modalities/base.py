"""The only way in which Graft knows a kind of sample: what a modality must say of its files and its tensors.

Everything outside of graft/modalities is the same for all of them. A modality knows neither the manifest nor another
modality; ingest and training are handed one (`graft.modalities.modality`).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self

if TYPE_CHECKING:  # whoever reads files alone needs none of them
    import pandas as pd
    from torch import Tensor, nn

HASH_BYTES, DESCRIPTOR_BYTES = 32, 128
"""Sizes of both halves of a signature, the same for all modalities: see `Reading`."""


class Unusable(Exception):
    """The reason why a file is quarantined; its words are a row's status."""

    def __init__(self, code: str, words: str) -> None:
        """
        Args:
            code: a key of `Modality.remedies`, or of those of graft/data/reading.py.
        """
        super().__init__(f"{code}: {words}")


class Reading(NamedTuple):
    """What is known of a file; of a quarantined one, as far as reading came."""

    sample_id: str = ""
    """The sha256 of its bytes, in hex; filled in by graft/data/reading.py, as num_bytes is."""
    num_bytes: int = 0
    measured: Mapping[str, str | float] = {}
    """Column of the manifest -> value, see `Modality.columns`. A column that is absent is empty, or 0."""
    perceptual_hash: str = ""
    """HASH_BYTES in hex, whose bits near duplicates mostly share."""
    descriptor: bytes = b""
    """DESCRIPTOR_BYTES of uint8 numbers, which lie close together for near duplicates that the hash misses."""
    note: str = ""
    """What is odd about the file and no reason not to use it."""
    status: str = "ok"


class Modality(Protocol):
    """One kind of sample, with the settings that its files are read with; frozen, hashable and cheap to pickle."""

    name: ClassVar[str]
    """What `inputs.modality` of params.yaml and `modality` of sources.yaml say."""
    noun: ClassVar[str]
    """What one sample is called in messages."""

    # Files: what ingest asks.
    suffixes: ClassVar[Mapping[str, str]]
    """Suffix of a file's name, in small letters with its dot -> format that it promises."""
    columns: ClassVar[Mapping[str, str]]
    """Measurement -> type of pyarrow: the manifest's columns between `split` and `duplicate_of`, in this order."""
    remedies: ClassVar[Mapping[str, str]]
    """Reason for quarantine -> what to do about it."""
    waivable: ClassVar[Mapping[str, str]]
    """Reason for quarantine that `ingest.accept` may waive -> how such files are then used."""

    def __hash__(self) -> int: ...

    @property
    def decoder(self) -> Sequence[str]:
        """What decoding hangs on besides the bytes and Graft's own code: settings, and versions of libraries."""
        ...

    def read(self, content: bytes, name: str, accept: Collection[str], *, with_signature: bool) -> Reading:
        """Measures a file. One that cannot be used, but of which something is known, comes with its status.

        Args:
            name: of the file; what it promises may be wrong.
            accept: reasons for quarantine that are none here.
            with_signature: fill in the perceptual hash and the descriptor, too. Without, no more than the header needs
                to be looked at.
        Raises:
            Unusable: the reason why it is quarantined. Any other error quarantines it as damaged.
        """
        ...

    def remarks(self, row: Mapping[str, object]) -> list[str]:
        """What is to be said of a sample that is used, besides its note.

        Args:
            row: of the manifest.
        """
        ...

    def prepare(self, content: bytes) -> Any:
        """A file made ready to be compared with many others."""
        ...

    def similarity(self, one: Any, other: Any) -> float:
        """Similarity of two prepared files: 0 (nothing in common, or nothing to go by) to 1 (the same sample)."""
        ...

    # Tensors: what training and serving ask.
    def as_ingested(self, manifest: "pd.DataFrame") -> Self:
        """This modality with the settings that the manifest's samples were read with."""
        ...

    def inputs(self, size: int) -> "Inputs":
        """The way from files to what a network takes; imports torch.

        Args:
            size: of a row: pixels of a side, tokens, samples of a waveform.
        """
        ...


class Inputs(Protocol):
    """The way from a file to what a network takes, at one size: the same code in training and in the served model.

    N samples, B samples of a batch. A row is what is kept of a sample: decoded, and brought to the size.
    """

    views: ClassVar[Mapping[str, Callable[["Tensor"], "Tensor"]]]
    """Changes of a batch of rows under which a label may stay the same, by name; at least `identity`."""

    @property
    def words(self) -> str:
        """The size in words, such as 160px; part of the name of a folder."""
        ...

    def empty(self, num_samples: int, *, exact: bool) -> "Tensor":
        """Room for so many rows [N, ...]."""
        ...

    def row(self, content: bytes, *, exact: bool) -> "Tensor":
        """The row of one file.

        Args:
            exact: to the last digit what `fit` gives of the file, as the served model computes it; otherwise rounded,
                which takes less room.
        """
        ...

    def fit(self, raw: "Tensor") -> "Tensor":
        """Rows of a batch of raw samples, as the served model takes them."""
        ...

    def expected(self, preprocessing: Any) -> "nn.Module":
        """Layer that turns a batch of rows into what a source was trained on.

        Args:
            preprocessing: of an entry of sources.yaml, or of a model's config.
        """
        ...

    def augmented(self, rows_B: "Tensor", preset: str, seeds_B: "Tensor") -> "Tensor":
        """Rows changed at random, each as its seed alone says.

        Args:
            preset: see `inputs.augmentation` of params.yaml.
        """
        ...

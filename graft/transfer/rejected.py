"""Sources that did harm, so that the next choice does without them: rejected_sources.json, committed beside dvc.lock.

A source is rejected for the very data that it was tried on. With other data, each gets another try.
"""

from typing import ClassVar, Self

from graft.core.artifacts import REJECTED_SOURCES, Artifact, KeptInGit


class RejectedSource(Artifact):
    source: str
    weights_sha256: str
    manifest_sha256: str
    """Of the data."""
    claim: str
    """Of the verdict."""


class RejectedSources(KeptInGit):
    NAME: ClassVar = REJECTED_SOURCES

    EMPTY: ClassVar = {"rejected": []}
    DAMAGE: ClassVar = "is not a list of sources that did harm"

    rejected: list[RejectedSource]

    def on(self, manifest_sha256: str) -> dict[str, str]:
        """sha256 of a source's weights -> the claim of its verdict, on these data."""
        return {
            entry.weights_sha256: entry.claim for entry in self.rejected if entry.manifest_sha256 == manifest_sha256
        }

    def plus(self, entry: RejectedSource) -> Self:
        return self.model_copy(update={"rejected": [*self.rejected, entry]})

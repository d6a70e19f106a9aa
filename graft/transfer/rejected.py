"""Sources that did harm, so that the next choice excludes them: rejected_sources.json, committed next to dvc.lock.

A source is rejected only for the data that it was tried on. With other data, it may be tried again.
"""

from typing import ClassVar, Self

from graft.core.artifacts import REJECTED_SOURCES, Artifact, KeptInGit


class RejectedSource(Artifact):
    source: str
    weights_sha256: str
    manifest_sha256: str
    """sha256 of the manifest of the data."""
    claim: str
    """Claim of the verdict."""


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

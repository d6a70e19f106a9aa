"""timm's weights from the model hub: only safetensors, verified before anything reads them."""

import os
from pathlib import Path

from graft.core.errors import DownloadError
from graft.hub.cache import arriving, require_hash, weights_folder, weights_path

FILE = "model.safetensors"


def fetch_from_hub(model: str, revision: str, sha256: str) -> Path:
    """model.safetensors of the hub's repository timm/`model`, in the cache. HF_ENDPOINT may name a mirror.

    Raises:
        DownloadError: the hub cannot be reached, or has no such model or no safetensors file.
        HashMismatchError: the file does not have the pinned hash.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    repository = f"timm/{model}"
    endpoint = os.environ.get("HF_ENDPOINT")
    with arriving(weights_folder()) as incoming:
        try:
            arrived = Path(hf_hub_download(repository, FILE, revision=revision, local_dir=incoming, endpoint=endpoint))
        except RemoteEntryNotFoundError as error:
            raise DownloadError(
                f"{repository} has no {FILE} at revision {revision}. Other formats (.bin) are pickles and are never "
                "loaded; name another revision, or another model."
            ) from error
        except (RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise DownloadError(
                f"the hub has no {repository} at revision {revision}, or it requires a token (HF_TOKEN). `model` is "
                "timm's name, such as resnet50.a1_in1k."
            ) from error
        except Exception as error:  # of three kinds: from the hub's client, from HTTP, and from the system
            raise DownloadError(
                f"could not download {FILE} of {repository}: {error}\n"
                "Check the network, the proxy settings and HF_ENDPOINT, and run again."
            ) from error
        require_hash(arrived, sha256, f"{FILE} of {repository} at revision {revision}")
        return arrived.replace(weights_path(f"{model}.safetensors", sha256))

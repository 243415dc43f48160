"""Files of the Hugging Face hub: its client gives address, token and cache; the download is ours.

The hub's own client takes a plain file in one connection, and its network slows down connections
that last. So `huggingface_hub` is asked where a file is (HF_ENDPOINT), with which token
(HF_TOKEN, or a login), and whether it is in the cache (HF_HOME); the download is `download.py`'s.
"""

from __future__ import annotations

from pathlib import Path

from bench.data.fetch.http import Remote
from bench.data.fetch.sources import SourceFile
from bench.util.errors import DataError

OF_DATA = "datasets/"
"""In front of the name of a repository that is of the kind 'dataset'."""


def remote_of(file: SourceFile, home: str = "") -> Remote:
    """The file that a source names. Raises `DataError` where the hub may not be asked."""
    if file.hub:
        return _on_hub(file, home)
    return Remote(file.url, file.name, sha256=file.sha256, rough=file.rough_size, home=home)


def _on_hub(file: SourceFile, home: str) -> Remote:
    """A file of the hub. Raises `DataError` where it is not here and HF_HUB_OFFLINE is set."""
    from huggingface_hub import constants, get_token, hf_hub_url, try_to_load_from_cache

    name, kind = file.hub.removeprefix(OF_DATA), "model"
    if name != file.hub:
        kind = "dataset"
    url = hf_hub_url(name, file.file, repo_type=kind)
    cached = try_to_load_from_cache(name, file.file, repo_type=kind)
    token = get_token()
    local = Path(cached) if isinstance(cached, str) else None
    if local is None and constants.HF_HUB_OFFLINE:
        raise DataError(
            f"{url}: HF_HUB_OFFLINE is set, and the hub's cache does not have the file; unset it, "
            "or give the file with --from FILE"
        )
    return Remote(
        url=url,
        name=file.name,
        headers={"Authorization": f"Bearer {token}"} if token else {},
        sha256=file.sha256,
        rough=file.rough_size,
        home=home or url.partition("/resolve/")[0],
        local=local,
    )

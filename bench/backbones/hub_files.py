"""Files of backbones on the Hugging Face hub: their names, whether they are here, downloading.

They are in the hub's cache (HF_HOME), where open_clip and timm look for them.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.backbones import resolve
from bench.backbones.info import BackboneError, ClipInfo

CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
"""In the order in which the libraries ask for them."""
MODEL_FILES = (".safetensors", ".json", ".txt", ".model", ".jinja")
"""Files of a repository that transformers reads; none of them can be executed."""
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
)
"""Files of a tokenizer's repository that transformers reads."""
PATIENCE = 10.0
"""Seconds to wait for the hub's answer on the size of a file."""


@dataclass(frozen=True)
class HubFile:
    """The weights of a backbone on the hub."""

    repository: str
    names: tuple[str, ...]
    """Possible names of the file, in the order in which they are tried."""

    @property
    def cached(self) -> Path | None:
        """Its path on this machine; None if it is not there."""
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(self.repository, name) for name in self.names)
        return next((Path(path) for path in found if isinstance(path, str)), None)

    def size(self) -> int | None:
        """Bytes, from the hub; None without an answer."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        for name in self.names:
            with suppress(Exception):  # offline, no such file, no network: errors of many kinds
                url = hf_hub_url(self.repository, name)
                return get_hf_file_metadata(url, timeout=PATIENCE).size
        return None

    def fetch(self) -> Path:
        """Put it into the cache. BackboneError if it is not available."""
        from huggingface_hub import hf_hub_download

        reason = ""
        for name in self.names:
            try:
                return Path(hf_hub_download(self.repository, name))
            except Exception as error:  # the hub's client raises errors of many unrelated kinds
                reason = reason or f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise BackboneError(f"{self.repository}: {self.names[0]} could not be fetched ({reason})")


@dataclass(frozen=True)
class HubRepository:
    """A model of the hub that transformers loads from its cache: weights and descriptions."""

    repository: str
    revision: str

    @property
    def cached(self) -> bool:
        """Whether weights of that revision lie on this machine."""
        from huggingface_hub import snapshot_download

        with suppress(Exception):  # nothing cached, in classes that differ between versions
            folder = snapshot_download(
                self.repository, revision=self.revision, local_files_only=True
            )
            return any(Path(folder).glob("*.safetensors"))
        return False

    def size(self, endings: tuple[str, ...] = MODEL_FILES) -> int | None:
        """Bytes of the files with these endings, from the hub; None without an answer."""
        from huggingface_hub import HfApi

        with suppress(Exception):  # offline, no such model, no network: errors of many kinds
            found = HfApi().model_info(
                self.repository, revision=self.revision, files_metadata=True, timeout=PATIENCE
            )
            files = found.siblings or ()
            wanted = [file for file in files if file.rfilename.endswith(endings)]
            return sum(file.size or 0 for file in wanted)
        return None

    def fetch(self) -> None:
        """Put it into the cache. BackboneError if it is not available."""
        from huggingface_hub import snapshot_download

        patterns = [f"*{suffix}" for suffix in MODEL_FILES]
        try:
            snapshot_download(self.repository, revision=self.revision, allow_patterns=patterns)
        except Exception as error:  # the hub's client raises errors of many unrelated kinds
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise BackboneError(f"{self.repository} could not be fetched ({reason})") from error


def hub_file(name: str) -> HubFile | None:
    """The file of the hub that a backbone needs; None for one that needs none.

    Raises UnknownBackboneError for a wrong name.
    """
    info = resolve(name)
    if info.pretrained is None or info.file is not None:
        return None
    if isinstance(info, ClipInfo):
        import open_clip

        place = open_clip.get_pretrained_cfg(info.model, info.pretrained).get("hf_hub", "")
        repository, _, file = place.rpartition("/")
        return HubFile(repository, (file,) if file else CLIP_FILES) if repository else None
    import timm

    config = timm.get_pretrained_cfg(f"{info.model}.{info.pretrained}")
    return HubFile(config.hf_hub_id, TIMM_FILES) if config and config.hf_hub_id else None


def tokenizer_repository(name: str) -> str:
    """The hub's repository of a CLIP backbone's tokenizer; '' if open_clip includes it.

    Raises UnknownBackboneError for a wrong name.
    """
    info = resolve(name)
    if not isinstance(info, ClipInfo):
        return ""
    return str(info.config.get("text_cfg", {}).get("hf_tokenizer_name", ""))

"""The identity of a pre-trained state."""

from __future__ import annotations

from bench import source
from bench.model.records import PretrainSpec
from bench.protocol.variants import Variant


def pretrain_spec(variant: Variant, corpora: dict[str, str]) -> PretrainSpec:
    """The identity of a pre-trained state, given the digests of the corpora's rows."""
    identity = variant.identity()
    # `identity` replaces paths by digests of the files; the backbone is part of `weights`.
    settings = {
        key: identity.get(key, value)
        for key, value in variant.build().pretrain_settings().items()
        if key != "backbone"
    }
    return PretrainSpec(
        method=variant.cls.name,
        method_version=variant.cls.version,
        code=source.digest(variant.cls.name),
        settings=settings,
        weights=variant.weights(),
        corpora=corpora,
    )

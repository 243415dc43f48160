"""Metrics of pyiqa that cannot be trained here, each with the reason."""

from __future__ import annotations

from bench.methods.pyiqa_trained.networks import ARCHITECTURES

NOT_TRAINED: dict[str, str] = {
    "liqe": "LIQE learns from scene and distortion labels together with quality, on the towers of "
    "OpenAI's ViT-B/32; pyiqa has its scoring only, with text features that stay fixed",
    "liqe_mix": "see liqe",
    "unique": "UNIQUE learns from pairs of images of several databases; pyiqa's class always loads "
    "its finished checkpoint",
    "afine_nr": "A-FINE's part without reference stands on the towers of a fine-tuned CLIP "
    "ViT-B/32 that only its authors' weights hold",
    "fgresq": "FGResQ learns from pairs of images, on two CLIP towers that only its authors' "
    "weights hold",
    "entropy": "it does not learn",
    "qrealign": "it is a multimodal language model",
    "topiq_iaa": "it learns distributions of aesthetic ratings; TOPIQ for quality is 'topiq_nr'",
    "arniqa": "ARNIQA is a ridge regression on a self-supervised encoder that only its authors' "
    "weights hold; pyiqa's class always loads them",
    "clipiqa": "it does not train; its learned contexts are the method 'clipiqa_plus'",
    "clipiqa+": "its learned contexts are the method 'clipiqa_plus'",
    "qualiclip": "it is trained on degraded images without labels",
    "maclip": "it does not train",
    "qalign": "it is a multimodal language model of 8 billion parameters",
    "compare2score": "it is a multimodal language model that learns from comparisons",
    "uranker": "URanker learns from rankings of underwater images, not from scores",
    "laion_aes": "it is a linear layer on CLIP ViT-L/14; the method 'linear_probe' is that on ours",
    "brisque": "pyiqa has its finished SVR only",
    "nrqm": "pyiqa has its finished forests only",
    "niqe": "it does not learn from labels",
    "ilniqe": "it does not learn from labels",
    "piqe": "it does not learn",
    "pi": "it does not learn from labels",
}


def why_not(metric: str) -> str:
    """Why a metric of pyiqa cannot be trained here; empty if it can, or is unknown.

    pyiqa names other weights of one network `NAME-DATABASE`, `NAME_VARIANT` or `NAME+`.
    """
    known = [*ARCHITECTURES, *NOT_TRAINED]
    stems = [stem for stem in known if metric.startswith(stem) and metric[len(stem) :][:1] in "-_+"]
    if metric in ARCHITECTURES or not stems:
        return ""
    stem = max(stems, key=len)
    if stem in NOT_TRAINED:
        return NOT_TRAINED[stem]
    return f"it is pyiqa's {stem} with weights of its own; train '{stem}'"

"""`runtime: transformers` with a very small model of random weights."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench import registry
from bench.api import ArrayImages, BenchError, Context

WORDS = ["excellent", "good", "fair", "poor", "bad"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of two layers and its processor, as a folder."""
    import torch
    import transformers as tr
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers.models.llama import modeling_llama

    # pyiqa's Q-Align, once imported, replaces its classes for the whole process.
    importlib.reload(modeling_llama)
    folder = tmp_path_factory.mktemp("model")
    texts = ["<pad>", "<unk>", "<image>", *WORDS, "how", "is", "it", ":"]
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(texts)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = tr.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )  # fmt: skip
    torch.manual_seed(0)
    vision = tr.CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        image_size=32, patch_size=16, projection_dim=16,
    )  # fmt: skip
    text = tr.LlamaConfig(
        vocab_size=len(texts), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, pad_token_id=0,
    )  # fmt: skip
    config = tr.LlavaConfig(vision_config=vision, text_config=text, image_token_index=2)
    tr.LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor = tr.LlavaProcessor(
        image_processor=tr.CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=tokenizer,
        patch_size=16,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=(
            "{% for m in messages %}{% for c in m['content'] %}"
            "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %} "
            "{% endfor %}{% endfor %}"
        ),
    )
    processor.save_pretrained(folder)
    return folder


def described(folder: Path, model: Path, **changes: object) -> str:
    values = {
        "model": str(model),
        "served_as": "small",
        "runtime": "transformers",
        "prompt": "how good is it :",
        "answer": {"kind": "levels"},
        "retest": 2,
        **changes,
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return f"vlm:{path}"


def test_levels_follow_the_models_own_probabilities(tmp_path: Path, model: Path) -> None:
    cls, settings = registry.settings_for(described(tmp_path, model), {})
    rng = np.random.default_rng(0)
    images = ArrayImages([rng.integers(0, 256, (40, 50, 3), dtype=np.uint8) for _ in range(3)])
    method = cls(settings, Context())
    scores = method.predict(images)
    assert ((scores > 1) & (scores < 5)).all()
    assert len(set(scores.tolist())) == 3
    assert any("2 of 2 scores equal" in note for note in method.notes)
    again = cls(settings, Context()).predict(images.subset([2, 0, 1]))
    np.testing.assert_allclose(again, scores[[2, 0, 1]], rtol=1e-6)


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    cls, settings = registry.settings_for(described(tmp_path, tmp_path / "none"), {})
    image = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(BenchError, match="transformers cannot load"):
        cls(settings, Context()).predict(ArrayImages([image]))


def test_only_levels_can_be_read_from_it(tmp_path: Path, model: Path) -> None:
    with pytest.raises(BenchError, match="levels"):
        registry.settings_for(described(tmp_path, model, answer={"kind": "number"}), {})

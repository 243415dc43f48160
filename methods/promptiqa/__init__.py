"""PromptIQA (Chen et al., ECCV 2024): image-score pairs define the requirement."""

"""PromptIQA (Chen et al., ECCV 2024): image-score pairs tell the model what to look for."""

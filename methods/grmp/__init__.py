"""GRMP-IQA: meta-learned prompts for CLIP, fine-tuned under gradient regulation.

"Few-Shot Image Quality Assessment via Adaptation of Vision-Language Models" (arXiv 2409.05381).
`method.py` is the method, `settings.py` and `recipes.py` what can be set, the other modules one
part of the paper each. Importing this package does not import torch.
"""

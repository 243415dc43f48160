"""MP-IQE: multi-modal prompt learning on CLIP, quality read out by text queries.

"Multi-Modal Prompt Learning on Blind Image Quality Assessment" (arXiv 2404.14949). The authors have
published no code; what the paper leaves open is a setting, and each says what was chosen here and
why. `method.py` is the method, `settings.py` and `recipes.py` what can be set, the other modules
one part of the paper each. Importing this package does not import torch.
"""

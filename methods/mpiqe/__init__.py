"""MP-IQE: multi-modal prompt learning on CLIP, quality read out by text queries.

"Multi-Modal Prompt Learning on Blind Image Quality Assessment" (arXiv 2404.14949). The authors have
published no code; each detail that the paper leaves open is a setting, whose description gives the
choice here and its reason. `method.py` is the method, `settings.py` and `recipes.py` what can be
set, the other modules one part of the paper each. Importing this package does not import torch.
"""

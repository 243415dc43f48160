"""pyiqa's architectures trained by this harness, on the labels that a protocol gives.

pyiqa's networks, each under its published training where one is published (`networks.py`); the
others share a common recipe, which tables say. Importing this package does not import torch.
"""

"""The shard format: super images in WebDataset tars, and the manifest that describes them.

``preprocess`` writes it; training and evaluation read it. This package imports neither video libraries nor Ray, and
only ``timm_reader`` imports torch.
"""

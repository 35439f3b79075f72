"""The shard format: super images in WebDataset tars, and the manifest that describes them.

Written by ``preprocess``, read by training and evaluation. Knows neither video nor Ray; importing it costs no torch.
"""

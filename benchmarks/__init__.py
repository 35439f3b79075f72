"""Compares the conversion and its training input with other tools: ``python -m benchmarks``, or ``make bench``."""

"""What a conversion and its training input cost beside every other way: ``python -m benchmarks``, or ``make bench``."""

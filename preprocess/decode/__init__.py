"""The only door to a decoder: (path, frame indices) -> frames."""

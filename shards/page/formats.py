"""Formats numbers for people. Pure."""


def byte_count(count: float) -> str:
    """``12_300_000 -> 12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds: ``3725 -> 1:02:05``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def short_number(value: float) -> str:
    """``12345.6 -> 12,346``, ``0.01234 -> 0.0123``."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

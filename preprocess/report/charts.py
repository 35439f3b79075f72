"""Small charts as SVG, for a page that must need no script and no other file. Pure."""

from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT = 480, 170
_LEFT, _BOTTOM, _TOP = 52, 22, 8
_BLUE = "#3b6fb6"


def curve(x: Sequence[float], y: Sequence[float], *, end: str) -> str:
    """A line through the points; ``end`` is what the last x is called."""
    most_x, most_y = max(x, default=0) or 1, max(y, default=0) or 1
    points = " ".join(f"{_across(a / most_x):.1f},{_down(b / most_y):.1f}" for a, b in zip(x, y))
    line = f'<polyline points="{points}" fill="none" stroke="{_BLUE}" stroke-width="2"/>'
    return _frame(line, "0", end, number(most_y))


def columns(heights: Sequence[float], *, left: str, right: str) -> str:
    """A column for each number, from ``left`` to ``right``."""
    most = max(heights, default=0) or 1
    step = (_WIDTH - _LEFT) / max(len(heights), 1)
    width, base = max(step - 1, step * 0.8), _HEIGHT - _BOTTOM
    bars = "".join(
        f'<rect x="{_LEFT + position * step:.2f}" y="{_down(height / most):.1f}" width="{width:.2f}" '
        f'height="{base - _down(height / most):.1f}" fill="{_BLUE}"/>'
        for position, height in enumerate(heights)
    )
    return _frame(bars, left, right, number(most))


def histogram(spread: Mapping, *, unit: float = 1.0) -> str:
    """A histogram of a spread from ``summary.py``; the last column holds all that is larger, up to the maximum."""
    last = spread["bin_start"] + spread["bin_width"] * len(spread["counts"])
    ends = dict.fromkeys((number(last / unit), number(spread["max"] / unit)))  # the same number is not said twice
    return columns(spread["counts"], left=number(spread["bin_start"] / unit), right=" ... ".join(ends))


def number(value: float) -> str:
    """Short: ``12345.6 -> 12,346``, ``0.01234 -> 0.0123``."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _across(share: float) -> float:
    return _LEFT + share * (_WIDTH - _LEFT)


def _down(share: float) -> float:
    return _TOP + (1 - share) * (_HEIGHT - _BOTTOM - _TOP)


def _frame(content: str, left: str, right: str, top: str) -> str:
    base = _HEIGHT - _BOTTOM
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f'<path d="M{_LEFT} {_TOP}V{base}H{_WIDTH}" fill="none" stroke="#b8c0cc"/>{content}'
        f'<text x="{_LEFT - 6}" y="{_TOP + 8}" text-anchor="end">{top}</text>'
        f'<text x="{_LEFT - 6}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{_LEFT}" y="{_HEIGHT - 6}">{left}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 6}" text-anchor="end">{right}</text></svg>'
    )

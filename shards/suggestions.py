"""Suggestions for misspelt names in error messages."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str], *, count: int = 1, quoted: bool = True) -> str:
    """The end of an error message that suggests up to ``count`` similar names, or an empty string.

    ``("lrr", ["lr", "seed"]) -> "; did you mean 'lr'?"``. ``quoted`` puts each suggestion in quotation marks.
    """
    nearest = difflib.get_close_matches(str(name), list(known), n=count)
    if not nearest:
        return ""
    return f"; did you mean {' or '.join(map(repr, nearest) if quoted else nearest)}?"

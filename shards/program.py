"""The first words of our commands, for messages that suggest a command."""

import sys
from pathlib import Path

_IN_CHECKOUT = {
    "preprocess": ("python", "-m", "preprocess"),
    "shards": ("python", "-m", "shards"),
    "train": ("python", "train_image.py"),
    "eval": ("python", "eval_video.py"),
}


def shown_command(name: str) -> list[str]:
    """The first words of one of our commands, as the user would type it.

    ``train -> ["superimage-train"]`` if the running program is an installed command, else ``["python",
    "train_image.py"]``.
    """
    if Path(sys.argv[0]).name.startswith("superimage-"):
        return [f"superimage-{name}"]
    return list(_IN_CHECKOUT[name])

"""How our commands are written in advice: by their installed names, or as in a checkout."""

import sys
from pathlib import Path

_IN_CHECKOUT = {
    "preprocess": ("python", "-m", "preprocess"),
    "shards": ("python", "-m", "shards"),
    "train": ("python", "train_image.py"),
    "eval": ("python", "eval_video.py"),
}


def shown_command(name: str) -> list[str]:
    """The words that start a command of ours, in the form in which the running one was started.

    ``train -> ["superimage-train"]`` where this program is an installed one, else ``["python", "train_image.py"]``.
    """
    if Path(sys.argv[0]).name.startswith("superimage-"):
        return [f"superimage-{name}"]
    return list(_IN_CHECKOUT[name])

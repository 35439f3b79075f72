"""Train an image classifier on super images, or on ordinary images as timm does.

    python train_image.py --config demo --data-dir DIR --output DIR --experiment NAME

Flags have timm's names, types and defaults. For super images, the input size, the classes, the mean and the std come
from the manifest. Any other directory is read as timm reads it.
"""

import sys
from collections.abc import Sequence

from superimage.training.command_line import parse_or_report
from superimage.training.flags import GROUPS


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the command line says. Returns the exit status of ``superimage.training.train.train``."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parsed = parse_or_report(GROUPS, argv, prog="train_image", kind="train", description=__doc__)
    if parsed is None:
        return 2
    # Imported here because PyTorch takes seconds to import, and --help needs none of it.
    from superimage.training.train import train

    return train(*parsed, argv)


if __name__ == "__main__":
    sys.exit(main())

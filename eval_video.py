"""Evaluate a checkpoint of train_image.py. The views of a video are averaged into one prediction.

    python eval_video.py --checkpoint FILE --data-dir DIR --output DIR [--split validation] [--order normal]

The script writes results.json, predictions.csv and confusion.png, and prints a table. --order reverse and --order
random change the order of the frames, which shows how much the model relies on time. If the same command is given
again, the script prints the stored results and computes nothing.

For multi-label data, the score of a class is the sigmoid of its logit instead of the softmax. --average logits applies
the sigmoid to the mean logits of a video's views; --average probabilities averages the sigmoids of the views. The
metric is mAP, and the picture is average_precision.png instead of confusion.png.
"""

import sys
from collections.abc import Sequence

from superimage.evaluation.flags import GROUPS
from superimage.training.command_line import parse_or_report


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate as the command line says. Returns the exit status of ``superimage.evaluation.evaluate.evaluate``."""
    argv = sys.argv[1:] if argv is None else list(argv)
    parsed = parse_or_report(GROUPS, argv, prog="eval_video", kind="eval", description=__doc__)
    if parsed is None:
        return 2
    # Imported here because PyTorch takes seconds to import, and --help needs none of it.
    from superimage.evaluation.evaluate import evaluate

    return evaluate(parsed[0])


if __name__ == "__main__":
    sys.exit(main())

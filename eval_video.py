"""Evaluate a checkpoint of train_image.py per video: the views of a video are averaged into one prediction.

    python eval_video.py --checkpoint FILE --data-dir DIR --output DIR [--split validation] [--order normal]

It writes results.json, predictions.csv and confusion.png, and prints a table. --order reverse and --order random put
the tiles into another order, which shows how much the model relies on time. When the same command is given again, it
finds the results and does not compute them a second time.

Where videos have several labels, the score of a class is the sigmoid of its logit, in place of the softmax. --average
logits applies the sigmoid to the mean logits of a video's views; --average probabilities averages the sigmoids of the
views. The metric is mAP, and average_precision.png takes the place of confusion.png.
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

"""The documents state each difference from the authors' code; each row is checked against the code that it is of."""

import numpy as np
from places import ROOT

from preprocess.sampling import Sampling, indices_for_test, indices_for_training

DOCS = ROOT / "docs"
DENSE = Sampling(strategy="dense", stride_frames=2)
SIFAR = Sampling(offset="shared", clip_positions="sifar")


def rows() -> list[list[str]]:
    section = (DOCS / "layouts.md").read_text(encoding="utf-8").partition("## Differences from the authors' code\n")[2]
    table = section.partition("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]


def test_the_table_names_every_difference():
    where = " ".join(row[0] for row in rows())
    for name in ("uniform", "dense", "fps", "short videos", "Something-Something", "Diving48", "windows", "vector"):
        assert name in where
    assert all(len(row) == 3 and all(row) for row in rows())


def test_frames_of_short_videos_repeat_in_order():
    for clip in range(3):
        assert indices_for_test(8, 8, SIFAR, clip=clip, num_clips=3).tolist() == list(range(8))
        assert (np.diff(indices_for_test(5, 8, SIFAR, clip=clip, num_clips=3)) >= 0).all()
    rng = np.random.default_rng(0)
    assert set(indices_for_training(5, 8, SIFAR, rng).tolist()) == set(range(5))


def test_dense_starts_are_those_of_the_table():
    """n = 20, T = 4, k = 2: SIFAR's code begins its last test clip at 12 and draws 0 to 11; ours 13, and 0 to 13."""
    starts = [int(indices_for_test(20, 4, DENSE, clip=clip, num_clips=3)[0]) for clip in range(3)]
    assert (starts[0], starts[-1]) == (0, 20 - 2 * 3 - 1)
    assert int(indices_for_test(20, 4, DENSE)[0]) == 6
    rng = np.random.default_rng(0)
    drawn = {int(indices_for_training(20, 4, DENSE, rng)[0]) for _ in range(500)}
    assert drawn == set(range(14))
    assert indices_for_test(3, 4, DENSE).tolist() == [0, 1, 1, 2]

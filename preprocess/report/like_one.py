"""``--dry-run --like VIDEO --videos N``: plans a data set of N copies of one video, to estimate its cost."""

import dataclasses
from pathlib import Path

from preprocess.annotations.dataset import Dataset, Video
from preprocess.config.schema import Config
from preprocess.plan import plan_split
from preprocess.run.identity import identity_of
from preprocess.run.output import Output
from preprocess.run.pipeline import Prepared
from preprocess.worker.messages import Job

_CLASS = "any class"


def prepared_like(config: Config, video: Path, num_videos: int) -> Prepared:
    """Plan a conversion of ``num_videos`` copies of one video in each training split of ``config``; write nothing.

    The copies have different keys, so their views differ. Raises ValueError if the file does not exist, if
    ``num_videos`` is less than 1, or if the configuration has no training split.
    """
    if not video.exists():
        raise ValueError(f"--like {video}: no such file")
    if num_videos < 1:
        raise ValueError(f"--videos {num_videos}: must be at least 1")
    splits = {name: split for name, split in config.splits.items() if split.mode == "train"}
    if not splits:
        raise ValueError("--like estimates training splits, and the configuration has none")
    config = dataclasses.replace(config, splits=splits, subsets={}, only=None, flip_labels={})
    copies = tuple(
        Video(key=f"copy-{number:09}", path=str(video.absolute()), labels=(0,)) for number in range(num_videos)
    )
    batches = [
        batch
        for name in splits
        for batch in plan_split(name, copies, samples_per_shard=config.samples_per_shard, seed=config.seed)
    ]
    identity = identity_of(config, batches, (_CLASS,), {})
    job = Job(config=config, source=str(video.parent), output=".", class_names=(_CLASS,), digest=identity.digest)
    dataset = Dataset(
        class_names=(_CLASS,),
        splits={name: copies for name in splits},
        missing={name: () for name in splits},
        subsets={},
    )
    return Prepared(dataset=dataset, batches=batches, output=Output(job=job, identity=identity))

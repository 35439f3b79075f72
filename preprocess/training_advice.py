"""How to train on shards that are planned: how many readers they serve, and the exact commands. Pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from preprocess.config import Config
from preprocess.plan import num_shards
from shards.format import IMAGENET_MEAN, IMAGENET_STD, view_split
from shards.layouts import Layout

# Samples of timm's shuffle buffer, per loader worker; the shards are shuffled already. timm's own 8192 are gigabytes.
_SHUFFLE_SIZE, _INITIAL_SIZE = 256, 64
_MODEL = "resnet50"  # takes any size; another goes in its place


@dataclass(frozen=True, kw_only=True)
class Readers:
    """The GPUs of a training run, and the loader workers on each: timm deals whole shards to ``ranks * workers``."""

    ranks: int
    workers: int

    def __post_init__(self):
        if self.ranks < 1 or self.workers < 1:
            raise ValueError(f"--train-ranks {self.ranks} --train-workers {self.workers}: both must be at least 1")


def safe_workers(shard_counts: Sequence[int], readers: Readers) -> int | None:
    """The most loader workers, up to those wanted, with which timm's reader loses and repeats nothing; None: no number.

    ``ranks * workers`` must divide the number of shards of each split that is read: ``48 and 48 shards, 8 x 4 -> 3``.
    """
    fitting = [
        workers
        for workers in range(1, readers.workers + 1)
        if all(count % (readers.ranks * workers) == 0 for count in shard_counts)
    ]
    return max(fitting, default=None)


def warnings(shards: Mapping[str, int], videos: Mapping[str, int], config: Config, readers: Readers) -> Iterator[str]:
    """Where shards are fewer than their readers, or no multiple. ``shards``: the tars of each split, all views."""
    wanted = readers.ranks * readers.workers
    for split, count in shards.items():
        views = config.splits[split].num_views
        if count < wanted:
            yield (
                f"{split}: {count} shards are fewer than the {readers.ranks} x {readers.workers} = {wanted} readers of "
                f"timm's train.py; {_more_shards(videos[split], views, wanted)}"
            )
        elif count % wanted:
            yield (
                f"{split}: {count} shards are no multiple of {readers.ranks} x {readers.workers} = {wanted}: timm's "
                "train.py would miss some samples and repeat others; train_image.py deals samples and does not"
            )


def _more_shards(num_videos: int, views: int, wanted: int) -> str:
    for samples_per_shard in range(max(num_videos * views // wanted, 1), 0, -1):
        if num_shards(num_videos, samples_per_shard) * views % wanted == 0:
            return f"--set samples_per_shard={samples_per_shard} makes enough"
    return "there are too few videos for more; train_image.py deals samples, and any number of shards serves it"


def splits_to_train_on(config: Config) -> tuple[str, str] | None:
    """(the split of all training views, the first view of the split that is tested on); None where one is lacking."""
    train = next((name for name, split in config.splits.items() if split.mode == "train"), None)
    test = next((name for name, split in config.splits.items() if split.mode == "test"), None)
    if train is None or test is None:
        return None
    return train, view_split(test, 0) if config.splits[test].num_views > 1 else test


def command_of_ours(directory: str, layout: Layout, splits: tuple[str, str], readers: Readers) -> str:
    """``train_image.py`` takes the size, the classes and what the grid forbids from the manifest."""
    words = ["--data-dir", directory, "--train-split", splits[0], "--val-split", splits[1], "--model", _MODEL]
    words += ["--workers", str(readers.workers), "--output", "runs", "--experiment", layout.name]
    return shlex.join([*_launcher(readers), "train_image.py", *words])


def command_of_timm(
    directory: str, layout: Layout, splits: tuple[str, str], readers: Readers, *, num_classes: int, workers: int
) -> str:
    """timm's own ``train.py`` has to be told; a flag that is left out would cut or mirror the grid."""
    height, width = layout.image_size
    words = ["--data-dir", directory, "--dataset", f"wds/{layout.name}"]
    words += ["--train-split", splits[0], "--val-split", splits[1], "--num-classes", num_classes]
    words += ["--input-size", 3, height, width, "--crop-pct", 1.0, "--no-aug"]
    words += ["--mean", *IMAGENET_MEAN, "--std", *IMAGENET_STD, "--model", _MODEL, "--workers", workers]
    environment = f"WDS_SHUFFLE_SIZE={_SHUFFLE_SIZE} WDS_INITIAL_SIZE={_INITIAL_SIZE} "
    return environment + shlex.join([*_launcher(readers), "train.py", *map(str, words)])


def _launcher(readers: Readers) -> list[str]:
    return ["python"] if readers.ranks == 1 else ["torchrun", "--nproc-per-node", str(readers.ranks)]

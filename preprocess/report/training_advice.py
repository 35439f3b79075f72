"""Training commands for planned shards, and how many loader workers the shards support. Pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from preprocess.config.schema import Config
from preprocess.plan import num_batches
from shards.format import IMAGENET_MEAN, IMAGENET_STD, view_split
from shards.layouts import Layout
from shards.pads import has_mean_pads
from shards.program import shown_command

# Samples in timm's shuffle buffer per loader worker. timm's default of 8192 takes gigabytes; the shards are shuffled.
_SHUFFLE_SIZE, _INITIAL_SIZE = 256, 64
# Passes over the videos, in total and in the warm-up (SIFAR 4.1, Kinetics-400).
_PASSES, _WARMUP_PASSES = 30, 5
_MODEL = "resnet50"  # accepts any image size; the user replaces it


@dataclass(frozen=True, kw_only=True)
class Readers:
    """The GPUs of a training and the loader workers per GPU. timm gives each of ``ranks * workers`` whole shards."""

    ranks: int
    workers: int

    def __post_init__(self) -> None:
        if self.ranks < 1 or self.workers < 1:
            raise ValueError(f"--train-ranks {self.ranks} --train-workers {self.workers}: both must be at least 1")


def safe_workers(shard_counts: Sequence[int], readers: Readers) -> int | None:
    """The largest number of loader workers, up to ``readers.workers``, with which timm's reader is exact.

    Otherwise it skips some samples and repeats others.

    ``ranks * workers`` must divide the number of shards of each split: ``48 and 48 shards, 8 x 4 -> 3``. None if no
    number does.
    """
    fitting = [
        workers
        for workers in range(1, readers.workers + 1)
        if all(count % (readers.ranks * workers) == 0 for count in shard_counts)
    ]
    return max(fitting, default=None)


def warnings(shards: Mapping[str, int], videos: Mapping[str, int], config: Config, readers: Readers) -> Iterator[str]:
    """Warnings if ranks x workers does not divide the number of shards. ``shards``: all tars of each split."""
    wanted = readers.ranks * readers.workers
    for split, count in shards.items():
        views = config.splits[split].num_views
        if count < wanted:
            yield (
                f"{split}: {count} shards are too few for the {readers.ranks} x {readers.workers} = {wanted} "
                f"readers of timm's train.py; {_more_shards(videos[split], views, wanted)}"
            )
        elif count % wanted:
            yield (
                f"{split}: {count} shards are not a multiple of {readers.ranks} x {readers.workers} = {wanted}: timm's "
                "train.py would skip some samples and repeat others; train_image.py would not"
            )


def _more_shards(num_videos: int, views: int, wanted: int) -> str:
    for samples_per_shard in range(max(num_videos * views // wanted, 1), 0, -1):
        if num_batches(num_videos, samples_per_shard) * views % wanted == 0:
            return f"--set samples_per_shard={samples_per_shard} makes enough"
    return "there are too few videos for more shards; train_image.py works with any number of shards"


def splits_to_train_on(config: Config) -> tuple[str, str] | None:
    """(split of all training views, first view of the validation split); None without a training split.

    The second is an empty string without a validation split, as ``--val-split`` expects.
    """
    train = next((name for name, split in config.splits.items() if split.mode == "train"), None)
    test = next((name for name, split in config.splits.items() if split.mode == "test"), "")
    if train is None:
        return None
    return train, view_split(test, 0) if test and config.splits[test].num_views > 1 else test


def epochs_of_timm(num_views: int) -> tuple[int, int]:
    """(``--epochs``, ``--warmup-epochs``) for a split of all views, where an epoch is ``num_views`` passes.

    ``1 view -> (30, 5); 2 views -> (15, 3); 4 views -> (8, 2)``: rounded up, so at least as many passes as the recipe.
    """
    return -(-_PASSES // num_views), -(-_WARMUP_PASSES // num_views)


def what_an_epoch_is(train: str, num_views: int, first_view_workers: int | None) -> str | None:
    """The difference between the epochs of the two scripts, for videos with several views; None for one view."""
    if num_views == 1:
        return None
    epochs, _ = epochs_of_timm(num_views)
    first, (alone, warmup) = view_split(train, 0), epochs_of_timm(1)
    instead = (
        f"with only the first view: --train-split {first} --epochs {alone} --warmup-epochs {warmup} --workers "
        f"{first_view_workers}"
        if first_view_workers
        else f"the shards of {first} alone cannot be distributed evenly to the GPUs"
    )
    return (
        f"an epoch of train_image.py is one pass over the videos, each epoch with the next view; an epoch of timm's "
        f"train.py on {train} is {num_views} passes, so --epochs {epochs} means {epochs * num_views} passes; {instead}"
    )


def pads_for_timm(layout: Layout) -> str | None:
    """A note on how timm's script reads pads of the mean color; None for a layout without them."""
    if not has_mean_pads(layout):
        return None
    return (
        "timm's train.py reads the pads as stored, in the 8-bit color nearest to ImageNet's mean. With --mean and "
        "--std of ImageNet they are within 0.03 of zero, except the outermost pixels of a pad in a JPEG, which mix "
        "with the frame beside them; with other values they are not zero. train_image.py sets all of them to zero"
    )


def command_of_ours(directory: str, layout: Layout, splits: tuple[str, str], readers: Readers) -> str:
    """The command for ``train_image.py``, which reads image size, classes and grid restrictions from the manifest."""
    words = ["--data-dir", directory, "--train-split", splits[0], "--val-split", splits[1], "--model", _MODEL]
    words += ["--epochs", str(_PASSES), "--warmup-epochs", str(_WARMUP_PASSES)]
    words += ["--workers", str(readers.workers), "--output", "runs", "--experiment", layout.name]
    several = ["torchrun", "--nproc-per-node", str(readers.ranks), "train_image.py"]
    return shlex.join([*(shown_command("train") if readers.ranks == 1 else several), *words])


def command_of_timm(
    directory: str,
    layout: Layout,
    splits: tuple[str, str],
    readers: Readers,
    *,
    num_classes: int,
    workers: int,
    num_views: int = 1,
) -> str:
    """The command for timm's ``train.py``. Without these flags it would crop or mirror the grid.

    ``num_views``: views per video in the training split. An epoch reads all of them.
    """
    height, width = layout.image_size
    epochs, warmup = epochs_of_timm(num_views)
    words = ["--data-dir", directory, "--dataset", f"wds/{layout.name}"]
    words += ["--train-split", splits[0], "--val-split", splits[1], "--num-classes", num_classes]
    words += ["--epochs", epochs, "--warmup-epochs", warmup]
    words += ["--input-size", 3, height, width, "--crop-pct", 1.0, "--no-aug"]
    words += ["--mean", *IMAGENET_MEAN, "--std", *IMAGENET_STD, "--model", _MODEL, "--workers", workers]
    environment = f"WDS_SHUFFLE_SIZE={_SHUFFLE_SIZE} WDS_INITIAL_SIZE={_INITIAL_SIZE} "
    return environment + shlex.join([*_launcher(readers), "train.py", *map(str, words)])


def _launcher(readers: Readers) -> list[str]:
    return ["python"] if readers.ranks == 1 else ["torchrun", "--nproc-per-node", str(readers.ranks)]

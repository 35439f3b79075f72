"""How to train on shards that are planned: how many readers they serve, and the exact commands. Pure."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from preprocess.config.schema import Config
from preprocess.plan import num_batches
from shards.format import IMAGENET_MEAN, IMAGENET_STD, view_split
from shards.layouts import Layout
from shards.pads import has_mean_pads
from shards.program import shown_command

# Samples of timm's shuffle buffer, per loader worker; the shards are shuffled already. timm's own 8192 are gigabytes.
_SHUFFLE_SIZE, _INITIAL_SIZE = 256, 64
# Passes over the videos, and those of the warm-up: SIFAR 4.1 on Kinetics-400.
_PASSES, _WARMUP_PASSES = 30, 5
_MODEL = "resnet50"  # takes any size; another goes in its place


@dataclass(frozen=True, kw_only=True)
class Readers:
    """The GPUs of a training run, and the loader workers on each: timm deals whole shards to ``ranks * workers``."""

    ranks: int
    workers: int

    def __post_init__(self) -> None:
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
        if num_batches(num_videos, samples_per_shard) * views % wanted == 0:
            return f"--set samples_per_shard={samples_per_shard} makes enough"
    return "there are too few videos for more; train_image.py deals samples, and any number of shards serves it"


def splits_to_train_on(config: Config) -> tuple[str, str] | None:
    """(the split of all training views, the first view of the split to validate on); None without a training split.

    The second is an empty string without a split to validate on, which is how ``--val-split`` says so.
    """
    train = next((name for name, split in config.splits.items() if split.mode == "train"), None)
    test = next((name for name, split in config.splits.items() if split.mode == "test"), "")
    if train is None:
        return None
    return train, view_split(test, 0) if test and config.splits[test].num_views > 1 else test


def epochs_of_timm(num_views: int) -> tuple[int, int]:
    """(``--epochs``, ``--warmup-epochs``) for a split of all views, each of whose epochs is ``num_views`` passes.

    ``1 view -> (30, 5); 2 views -> (15, 3); 4 views -> (8, 2)``: rounded up, so never fewer passes than the recipe's.
    """
    return -(-_PASSES // num_views), -(-_WARMUP_PASSES // num_views)


def what_an_epoch_is(train: str, num_views: int, first_view_workers: int | None) -> str | None:
    """How the epochs of the two scripts compare where videos have several views; None where they have one."""
    if num_views == 1:
        return None
    epochs, _ = epochs_of_timm(num_views)
    first, (alone, warmup) = view_split(train, 0), epochs_of_timm(1)
    instead = (
        f"with the first view alone: --train-split {first} --epochs {alone} --warmup-epochs {warmup} --workers "
        f"{first_view_workers}"
        if first_view_workers
        else f"the shards of {first} alone cannot be dealt evenly to the GPUs"
    )
    return (
        f"an epoch of train_image.py is one pass over the videos, with another view of each in turn; one of timm's "
        f"train.py on {train} is {num_views} passes, so --epochs {epochs} are {epochs * num_views} passes; {instead}"
    )


def pads_for_timm(layout: Layout) -> str | None:
    """What timm's script makes of pads that stand for zero; None where there are none."""
    if not has_mean_pads(layout):
        return None
    return (
        "timm's train.py reads the pads as they are stored, in the 8-bit colour nearest to ImageNet's mean. With "
        "--mean and --std of ImageNet they are within 0.03 of zero, but for the outermost pixels of a pad in a JPEG, "
        "which mix with the frame beside it; with other values they are not zero. train_image.py makes all of them zero"
    )


def command_of_ours(directory: str, layout: Layout, splits: tuple[str, str], readers: Readers) -> str:
    """``train_image.py`` takes the size, the classes and what the grid forbids from the manifest."""
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
    """timm's own ``train.py`` has to be told; a flag that is left out would cut or mirror the grid.

    ``num_views``: views of a video in the training split, all of which it reads in each epoch.
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

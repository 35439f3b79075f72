"""Loaders of images and targets. Super images are read by our reader, other images by timm's."""

import argparse
import logging
import math
from functools import partial

import torch
from timm.data import (
    FastCollateMixup,
    IterableImageDataset,
    MultiLabelTarget,
    create_dataset,
    create_loader,
    resolve_data_config,
)
from timm.data.loader import PrefetchLoader, fast_collate
from timm.data.readers.reader_wds import ReaderWds
from torch import nn
from torch.utils.data import Dataset

from shards.format import Manifest
from shards.pads import has_mean_pads, nearest_color, pad_mask
from shards.timm_reader import ShardReader
from superimage.training.batches import Batches
from superimage.training.collate import CheckedCollate, end_worker_on_lost_batch
from superimage.training.cutmix import TileMixup
from superimage.training.device_env import DeviceEnv
from superimage.training.flags import cuts
from superimage.training.grid import keeps_grid
from superimage.training.multi_label import check_split_labels
from superimage.training.shared_memory import plan_workers, ranks_on_this_node

_log = logging.getLogger("train_image")


def build_loaders(
    args: argparse.Namespace, device_env: DeviceEnv, model: nn.Module, manifest: Manifest | None
) -> tuple[Batches, Batches | None]:
    """(training, validation) batches of ``(images float (B, C, H, W) on the device, targets)``.

    The second item is None if ``--val-split`` is empty. Raises ValueError for a split without samples, and if the
    splits or the model have different classes.
    """
    data = resolve_data_config(vars(args), model=model)
    num_classes = args.num_classes if args.num_classes is not None else model.num_classes
    datasets = {
        training: open_split(args, manifest, training=training, mean=data["mean"])
        for training in ((True, False) if args.val_split else (True,))
    }
    check_splits(args, datasets[True], datasets.get(False), num_classes)
    ranks_here, mixup = ranks_on_this_node(device_env), build_mixup(args, num_classes, manifest)
    batches = []
    for training, dataset in datasets.items():
        collate = CheckedCollate(
            mixup if training and mixup else fast_collate,
            num_classes=num_classes,
            source=_flag(args, training=training),
        )
        loader = _create(args, data, device_env, dataset, collate, training=training, ranks_here=ranks_here)
        pads = None
        if manifest is not None and has_mean_pads(manifest.layout) and keeps_grid(args, manifest, training=training):
            pads = torch.from_numpy(pad_mask(manifest.layout, *data["input_size"][1:])).to(device_env.device)
        batches.append(
            Batches(
                loader,
                name=_flag(args, training=training),
                rank=device_env.rank,
                expected=expected_samples(loader, training=training),
                valid=getattr(loader.sampler, "num_valid_samples", None),
                samples_per_image=2 if training and mixup and args.mixup_mode == "half" else 1,
                pads=pads,
                mixup=mixup if training else None,
            )
        )
    if len(batches[0]) == 0:
        raise ValueError(f"--train-split {args.train_split}: not enough samples for --batch-size {args.batch_size}")
    return batches[0], batches[1] if args.val_split else None


def _create(
    args: argparse.Namespace,
    data: dict,
    device_env: DeviceEnv,
    dataset: Dataset,
    collate: CheckedCollate,
    *,
    training: bool,
    ranks_here: int,
) -> PrefetchLoader:
    """timm's loader, with fewer workers and prefetched batches if the shared memory is too small."""
    size = batch_size_of(args, training=training)
    flags = "--batch-size" if training or args.validation_batch_size is None else "--validation-batch-size"
    plan, warning = plan_workers(
        args.workers,
        batch_bytes=size * math.prod(data["input_size"]),
        pinned=args.pin_mem,
        ranks_here=ranks_here,
        flags=flags,
    )
    if warning and device_env.rank == 0:
        _log.warning(f"{_flag(args, training=training)}: {warning}")
    loader = create_loader(
        dataset,
        input_size=data["input_size"],
        batch_size=size,
        mean=data["mean"],
        std=data["std"],
        num_workers=plan.workers,
        distributed=device_env.distributed,
        pin_memory=args.pin_mem,
        device=device_env.device,
        worker_seeding=args.worker_seeding,
        # New workers start in each epoch with its seed, so that a resumed run draws the same random numbers.
        persistent_workers=False,
        collate_fn=collate,
        **(_training_transforms(args, data) if training else _validation_transforms(data)),
    )
    if plan.workers:
        loader.loader.prefetch_factor = plan.prefetch
        end_worker_on_lost_batch(loader.loader)
    return loader


def _training_transforms(args: argparse.Namespace, data: dict) -> dict:
    return {
        "is_training": True,
        "no_aug": args.no_aug,
        "train_crop_mode": args.train_crop_mode,
        "scale": args.scale,
        "ratio": args.ratio,
        "hflip": args.hflip,
        "vflip": args.vflip,
        "color_jitter": args.color_jitter,
        "color_jitter_prob": args.color_jitter_prob,
        "grayscale_prob": args.grayscale_prob,
        "gaussian_blur_prob": args.gaussian_blur_prob,
        "auto_augment": args.aa,
        "re_prob": args.reprob,
        "re_mode": args.remode,
        "re_count": args.recount,
        "interpolation": data["interpolation"] if args.no_aug else args.train_interpolation,
    }


def _validation_transforms(data: dict) -> dict:
    return {name: data[name] for name in ("interpolation", "crop_pct", "crop_mode")}


def batch_size_of(args: argparse.Namespace, *, training: bool) -> int:
    return args.batch_size if training else args.validation_batch_size or args.batch_size


def _flag(args: argparse.Namespace, *, training: bool) -> str:
    """The flag that an error message names: ``--train-split train``."""
    return f"--train-split {args.train_split}" if training else f"--val-split {args.val_split}"


def expected_samples(loader: PrefetchLoader, *, training: bool) -> int | None:
    """Number of samples in an epoch on this rank; None for streams of timm that do not know it."""
    dataset = loader.dataset
    if not isinstance(dataset, IterableImageDataset):
        size = loader.loader.batch_size
        return len(loader.sampler) // size * size if training else len(loader.sampler)
    reader = dataset.reader
    if isinstance(reader, ReaderWds):
        # Validation on one rank reads all samples, but its length is rounded down for the number of workers.
        return len(reader) if training or reader.dist_num_replicas > 1 else reader.num_samples or None
    return len(reader) if isinstance(reader, ShardReader) else None


def check_splits(args: argparse.Namespace, train: Dataset, validation: Dataset | None, num_classes: int) -> None:
    """Raise ValueError for an empty validation split, and if the class indices of the splits or the model differ.

    timm numbers the class folders of a split, so a missing folder shifts the indices of all classes after it.
    """
    classes = _classes_of(train)
    if validation is not None and _num_samples(validation) == 0:
        raise ValueError(f"--val-split {args.val_split}: no samples; give a split that has some")
    if classes and len(classes) > num_classes:
        raise ValueError(
            f"--train-split {args.train_split} has {len(classes)} classes, but the model has {num_classes}; "
            f"give --num-classes {len(classes)}"
        )
    others = _classes_of(validation) if validation is not None else {}
    wrong = [name for name, index in others.items() if classes and classes.get(name) != index]
    if wrong:
        where = f"has index {classes[wrong[0]]}" if wrong[0] in classes else "does not exist"
        raise ValueError(
            f"--val-split {args.val_split}: class {wrong[0]} has index {others[wrong[0]]}, but in --train-split "
            f"{args.train_split} it {where}; give two splits with the same classes, or number class folders by "
            "--class-map"
        )


def _classes_of(dataset: Dataset) -> dict[str, int]:
    return getattr(dataset.reader, "class_to_idx", None) or {}


def _num_samples(dataset: Dataset) -> int:
    """Number of samples of the whole split. The length of a dataset only counts those of this rank."""
    whole = getattr(getattr(dataset.reader, "split", None), "num_samples", None)
    return len(dataset) if whole is None else whole


def open_split(
    args: argparse.Namespace, manifest: Manifest | None, *, training: bool, mean: tuple[float, ...] = ()
) -> Dataset:
    """The training or validation dataset, with our reader for super images and timm's for other images.

    ``mean``: the model's pixel mean, 0 to 1. The pads of RGB images get the nearest color.
    """
    common = {"split": args.train_split if training else args.val_split, "is_training": training}
    common |= {"batch_size": batch_size_of(args, training=training), "seed": args.seed}
    if manifest is not None and not args.dataset:
        # Validation reads each sample of the split once, as it is stored.
        drawn = {"views": args.views, "tile_order": args.tile_order} if training else {}
        color = nearest_color(mean) if len(mean) == 3 else None
        reader = ShardReader(args.data_dir, shuffle_size=args.shuffle_size, pad_color=color, **drawn, **common)
        check_split_labels(reader, manifest)
        return IterableImageDataset(args.data_dir, reader=reader)
    if args.dataset.startswith("wds/"):
        common |= {"sample_shuffle_size": args.shuffle_size, "sample_initial_size": args.shuffle_size}
    if manifest is not None and manifest.multi_label:
        common |= {"target_key": "labels", "target_transform": MultiLabelTarget(len(manifest.class_names))}
    try:
        return create_dataset(args.dataset, root=args.data_dir, class_map=args.class_map, **common)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--data-dir {args.data_dir}, split {common['split']}: {error}") from error


def mixes(args: argparse.Namespace) -> bool:
    return args.mixup > 0 or cuts(args)


def build_mixup(args: argparse.Namespace, num_classes: int, manifest: Manifest | None) -> FastCollateMixup | None:
    if not mixes(args):
        return None
    grid = manifest.layout if manifest is not None and cuts(args) else None
    make = partial(TileMixup, rows=grid.rows, columns=grid.columns) if grid else FastCollateMixup
    return make(
        mixup_alpha=args.mixup,
        cutmix_alpha=args.cutmix,
        cutmix_minmax=args.cutmix_minmax,
        prob=args.mixup_prob,
        switch_prob=args.mixup_switch_prob,
        mode=args.mixup_mode,
        label_smoothing=args.smoothing,
        num_classes=num_classes,
        multi_label=manifest is not None and manifest.multi_label,
    )

"""Loaders of images and targets: super images by our reader, all else by timm's."""

import argparse
from functools import partial

from timm.data import (
    FastCollateMixup,
    IterableImageDataset,
    MultiLabelTarget,
    create_dataset,
    create_loader,
    resolve_data_config,
)
from torch import nn
from torch.utils.data import Dataset

from shards.format import Manifest
from shards.timm_reader import ShardReader
from training.cutmix import TileMixup, cuts
from training.machine import Machine
from training.multi_label import check_split_labels


def build_loaders(args: argparse.Namespace, machine: Machine, model: nn.Module, manifest: Manifest | None):
    """(training, validation) loaders of ``(images float (B, C, H, W) on the device, targets)``."""
    data = resolve_data_config(vars(args), model=model)
    num_classes = args.num_classes if args.num_classes is not None else model.num_classes
    common = {
        "input_size": data["input_size"],
        "mean": data["mean"],
        "std": data["std"],
        "num_workers": args.workers,
        "distributed": machine.distributed,
        "pin_memory": args.pin_mem,
        "device": machine.device,
        "worker_seeding": args.worker_seeding,
        # New workers each epoch, seeded by it: a resumed run then draws what an uninterrupted one would have.
        "persistent_workers": False,
    }
    train = create_loader(
        open_split(args, manifest, training=True),
        batch_size=args.batch_size,
        is_training=True,
        no_aug=args.no_aug,
        train_crop_mode=args.train_crop_mode,
        scale=args.scale,
        ratio=args.ratio,
        hflip=args.hflip,
        vflip=args.vflip,
        color_jitter=args.color_jitter,
        color_jitter_prob=args.color_jitter_prob,
        grayscale_prob=args.grayscale_prob,
        gaussian_blur_prob=args.gaussian_blur_prob,
        auto_augment=args.aa,
        re_prob=args.reprob,
        re_mode=args.remode,
        re_count=args.recount,
        interpolation=data["interpolation"] if args.no_aug else args.train_interpolation,
        collate_fn=build_mixup(args, num_classes, manifest),
        **common,
    )
    validation = create_loader(
        open_split(args, manifest, training=False),
        batch_size=args.validation_batch_size or args.batch_size,
        interpolation=data["interpolation"],
        crop_pct=data["crop_pct"],
        crop_mode=data["crop_mode"],
        **common,
    )
    if len(train) == 0:
        raise ValueError(f"--train-split {args.train_split}: not one batch of {args.batch_size}; use a smaller batch")
    return train, validation


def open_split(args: argparse.Namespace, manifest: Manifest | None, *, training: bool) -> Dataset:
    """The training or validation data set, read by our reader for super images and by timm's otherwise."""
    batch_size = args.batch_size if training else args.validation_batch_size or args.batch_size
    common = {"split": args.train_split if training else args.val_split, "is_training": training}
    common |= {"batch_size": batch_size, "seed": args.seed}
    if manifest is not None and not args.dataset:
        reader = ShardReader(args.data_dir, shuffle_size=args.shuffle_size, **common)
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

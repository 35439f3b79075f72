"""A trained model out of a checkpoint, for data that the checkpoint was made for."""

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path

import yaml
from timm.data import resolve_data_config
from timm.models import load_state_dict
from torch import nn

from shards.format import Manifest
from superimage.training.comparison import class_difference, grid_differences, image_size, other_differences
from superimage.training.experiment import FLAGS_NAME
from superimage.training.flags import FLAGS
from superimage.training.model import build_model
from superimage.training.stored import epochs_done, flags_in, read_checkpoint, trained_on

# What the trainer's flags do not tell, or tell by a default that another version may change.
_INPUT = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with its weights, the flags it was trained with, and which of the checkpoint's weights they are.

    ``args`` holds the input's size, mean, std, interpolation and crop, as ``timm.data.resolve_data_config`` reads them.
    ``superimage`` is the manifest's section that it was trained on, or that of the data where the checkpoint has none.
    """

    model: nn.Module
    args: argparse.Namespace
    superimage: dict
    weights: str  # "average", "weights"
    epoch: int | None  # epochs done: 1 after the first
    sha256: str
    notes: tuple[str, ...] = ()  # what differs from the data, or cannot be compared

    @property
    def model_name(self) -> str:
        return self.args.model


def load_trained(
    path: Path,
    manifest: Manifest | None,
    *,
    model: str | None = None,
    model_kwargs: dict | None = None,
    use_ema: bool = True,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    allow_other_layout: bool = False,
) -> Trained:
    """The model of a checkpoint for the super images of ``manifest``; averaged weights if it has them, as timm does.

    Without a manifest, everything comes from the checkpoint. The flags come from the checkpoint itself or from
    args.yaml beside it; ``mean`` and ``std`` go before its own. ValueError, in one line, where flags, weights and data
    do not belong together: other classes, another grid of tiles, another size.
    """
    told = f"--checkpoint {path}"
    content = read_checkpoint(path, told)
    section = trained_on(path, content)
    data = section if manifest is None else manifest.superimage
    if data is None:
        raise ValueError(f"{told}: it does not say what it was trained on; give the --data-dir")
    args = _flags(path, content, data, {"model": model, "model_kwargs": model_kwargs, "mean": mean, "std": std})
    net = build_model(args, manifest)
    notes = _compare(path, section, data, net, args, allow_other_layout=allow_other_layout)
    if args.mean is None or args.std is None:
        config = resolve_data_config(vars(args), model=net)
        args.mean, args.std = args.mean or list(config["mean"]), args.std or list(config["std"])
        used = f"mean {args.mean} and std {args.std} of the model's pretrained configuration"
        notes.append(f"the checkpoint does not say its mean and std: {used}; --mean and --std give others")
    _load_weights(path, net, args, use_ema=use_ema)
    average = use_ema and content.get("state_dict_ema") is not None
    return Trained(
        model=net,
        args=args,
        superimage=section or data,
        weights="average" if average else "weights",
        epoch=epochs_done(content),
        sha256=_sha256(path),
        notes=tuple(notes),
    )


def _load_weights(path: Path, net: nn.Module, args: argparse.Namespace, *, use_ema: bool) -> None:
    try:
        net.load_state_dict(load_state_dict(str(path), use_ema=use_ema))
    # torch says in many ways that a file holds the weights of something else.
    except Exception as error:
        raise ValueError(f"{path} does not fit {args.model}: {' '.join(str(error).split())[:300]}") from error


def _flags(path: Path, content: dict, data: dict, chosen: dict) -> argparse.Namespace:
    """The flags of training, with what only training needs taken out and what is missing taken from the data."""
    given = flags_in(content) or _flags_beside(path)
    defaults = {flag.dest: flag.default for flag in FLAGS}
    args = defaults | {name: value for name, value in given.items() if name in defaults}
    if "model" not in given and chosen["model"] is None:
        raise ValueError(
            f"{path} does not say which model it is of, and {path.with_name(FLAGS_NAME)} is missing: give --model"
        )
    args |= {"pretrained": False, "pretrained_path": None, "initial_checkpoint": "", "grad_checkpointing": False}
    if not given:
        args |= {"num_classes": len(data["class_names"]), "input_size": [3, *image_size(data)]}
    stored = content.get("input")
    args |= {name: stored[name] for name in _INPUT if name in stored} if isinstance(stored, dict) else {}
    args |= {name: value for name, value in chosen.items() if value}
    args["crop_pct"] = args["crop_pct"] or 1.0
    return argparse.Namespace(**args)


def _flags_beside(path: Path) -> dict:
    beside = path.with_name(FLAGS_NAME)
    try:
        flags = yaml.safe_load(beside.read_bytes()) if beside.exists() else {}
    except yaml.YAMLError as error:
        raise ValueError(f"{beside}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(flags, dict):
        raise ValueError(f"{beside}: a mapping of flags to values is needed, as in 'model: resnet50'")
    return flags


def _compare(
    path: Path, section: dict | None, data: dict, net: nn.Module, args: argparse.Namespace, *, allow_other_layout: bool
) -> list[str]:
    """What differs, by name and value, and does no harm; ValueError for what does."""
    if net.num_classes != len(data["class_names"]) and section is None:
        raise ValueError(f"{path} tells {net.num_classes} classes apart; the data has {len(data['class_names'])}")
    if section is None:
        size = tuple(resolve_data_config(vars(args), model=net)["input_size"][1:])
        _check_size(path, size, image_size(data))
        return [f"{path} does not say what it was trained on: its class names and layout are not compared"]
    classes = class_difference(section["class_names"], data["class_names"])
    if classes:
        raise ValueError(f"{path} was trained on other classes than those of the data: {classes}")
    grid = grid_differences(section, data)
    if grid and not allow_other_layout:
        raise ValueError(
            f"{path} was trained on another layout: {'; '.join(grid)}. Give data of its layout, or permit another with "
            "--allow-other-layout"
        )
    _check_size(path, image_size(section), image_size(data))
    return grid + other_differences(section, data)


def _check_size(path: Path, trained: tuple[int, int], given: tuple[int, int]) -> None:
    """The stored images are as large as in training: the data's own size, or what training made of that same size."""
    if trained != given:
        raise ValueError(
            f"{path} was trained on images of {trained[0]}x{trained[1]} pixels, but those of the data have "
            f"{given[0]}x{given[1]}; give the data of a layout and tile size that it was trained on"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

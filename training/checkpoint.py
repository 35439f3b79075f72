"""A trained model out of a checkpoint and what stands beside it."""

import argparse
import hashlib
import json
import pickle
from dataclasses import dataclass
from pathlib import Path

import yaml
from timm.data import resolve_data_config
from timm.models import load_state_dict
from timm.utils import load_checkpoint_metadata
from torch import nn

from shards.format import Manifest
from training.experiment import FLAGS_NAME, MANIFEST_COPY
from training.flags import FLAGS
from training.model import build_model


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with its weights, the flags it was trained with, and which of the checkpoint's weights they are."""

    model: nn.Module
    args: argparse.Namespace
    weights: str  # "average", "weights"
    epoch: int | None
    sha256: str

    @property
    def model_name(self) -> str:
        return self.args.model


def load_trained(path: Path, manifest: Manifest, *, model: str | None, model_kwargs: dict, use_ema: bool) -> Trained:
    """The model of a checkpoint for the super images of ``manifest``; averaged weights if it has them, as timm does.

    The flags come from the checkpoint itself or from args.yaml beside it. ValueError where they, the weights and the
    data do not belong together.
    """
    if not path.is_file():
        raise ValueError(f"--checkpoint {path}: no such file")
    try:
        content = load_checkpoint_metadata(str(path))
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError) as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)  # an empty file has no message
        raise ValueError(f"--checkpoint {path}: not a checkpoint ({told})") from error
    args = _flags(path, content, manifest, model=model, model_kwargs=model_kwargs)
    net = build_model(args, manifest)
    _check_size(path, manifest, args, net)
    _check_classes(path, manifest, net)
    try:
        net.load_state_dict(load_state_dict(str(path), use_ema=use_ema))
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit {args.model}: {' '.join(str(error).split())[:300]}") from error
    average = use_ema and content.get("state_dict_ema") is not None
    return Trained(
        model=net,
        args=args,
        weights="average" if average else "weights",
        epoch=content.get("epoch"),
        sha256=_sha256(path),
    )


def _flags(
    path: Path, content: dict, manifest: Manifest, *, model: str | None, model_kwargs: dict
) -> argparse.Namespace:
    """The flags of training, with what only training needs taken out and what is missing taken from the data."""
    beside = path.with_name(FLAGS_NAME)
    if "args" in content:
        given = vars(content["args"])
    else:
        given = yaml.safe_load(beside.read_text()) if beside.exists() else {}
    defaults = {flag.dest: flag.default for flag in FLAGS}
    args = defaults | {name: value for name, value in given.items() if name in defaults}
    if "model" not in given and model is None:
        raise ValueError(f"{path} does not say which model it is of, and {beside} is missing: give --model")
    args |= {"pretrained": False, "pretrained_path": None, "initial_checkpoint": "", "grad_checkpointing": False}
    args |= {"model": model or args["model"], "model_kwargs": model_kwargs or args["model_kwargs"]}
    if not given:
        height, width = manifest.image_size
        args |= {"num_classes": len(manifest.class_names), "input_size": [3, height, width]}
        args |= {"mean": list(manifest.mean), "std": list(manifest.std)}
    args["crop_pct"] = args["crop_pct"] or 1.0
    return argparse.Namespace(**args)


def _check_classes(path: Path, manifest: Manifest, net: nn.Module) -> None:
    copy = path.with_name(MANIFEST_COPY)
    if copy.exists() and json.loads(copy.read_text())["class_names"] != manifest.class_names:
        raise ValueError(f"{path} was trained on other classes than those of the data; compare {copy}")
    if net.num_classes != len(manifest.class_names):
        raise ValueError(f"{path} tells {net.num_classes} classes apart; the data has {len(manifest.class_names)}")


def _check_size(path: Path, manifest: Manifest, args: argparse.Namespace, net: nn.Module) -> None:
    """The input is as large as in training: the data's own size, or what training made of that same size."""
    copy = path.with_name(MANIFEST_COPY)
    height, width = manifest.image_size
    trained_on = _image_size(json.loads(copy.read_text())["layout"]) if copy.exists() else None
    size = trained_on or tuple(resolve_data_config(vars(args), model=net)["input_size"][1:])
    if size != (height, width):
        raise ValueError(
            f"{path} was trained on images of {size[0]}x{size[1]} pixels, but those of the data have {height}x{width}; "
            "give the data of a layout and tile size that it was trained on"
        )


def _image_size(layout: dict) -> tuple[int, int]:
    return layout["rows"] * layout["tile"], layout["columns"] * layout["tile"]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

"""Builds the trained model from a checkpoint, and checks that the data fits it."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from timm.data import resolve_data_config
from timm.models import load_state_dict
from torch import nn

from shards.format import Manifest
from superimage import models
from superimage.models.explain import build_or_explain
from superimage.models.spec import ModelSpec
from superimage.training.comparison import class_difference, grid_differences, image_size, other_differences
from superimage.training.experiment import FLAGS_NAME
from superimage.training.stored import epochs_done, flags_in, read_checkpoint, trained_on

# Keys of timm's data configuration. Training stores it under ``input`` in the checkpoint.
_INPUT = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with the weights of a checkpoint, and what it was trained on.

    ``input`` is timm's data configuration: size, mean, std, interpolation and crop. ``superimage`` is the section
    ``superimage`` of the training data's manifest; if the checkpoint has none, it comes from the evaluated data.
    ``weights`` is ``average`` for averaged weights (EMA) and ``weights`` otherwise. ``epoch`` is the number of finished
    epochs. ``notes`` list the differences between training data and evaluated data, and what cannot be compared.
    """

    model: nn.Module
    spec: ModelSpec
    input: dict[str, Any]
    superimage: dict
    weights: str
    epoch: int | None
    sha256: str
    notes: tuple[str, ...] = ()

    @property
    def model_name(self) -> str:
        return self.spec.name


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
    """Load a checkpoint to evaluate the super images of ``manifest``. Averaged weights come first, as in timm.

    Without a manifest, everything comes from the checkpoint. A checkpoint of ``train_image.py`` describes its model.
    For a checkpoint of another trainer, the model comes from the flags in the checkpoint or from args.yaml beside it.
    ``mean`` and ``std`` replace the checkpoint's values. Raises ValueError, in one line, if the weights do not fit the
    data: other classes, another grid of tiles, or another image size.
    """
    shown = f"--checkpoint {path}"
    content = read_checkpoint(path, shown)
    section = trained_on(path, content)
    data = section if manifest is None else manifest.superimage
    if data is None:
        raise ValueError(f"{shown}: the checkpoint has no description of its training data; give --data-dir")
    flags = {} if "model_spec" in content else flags_in(content) or _flags_beside(path)
    spec = _spec(path, content, flags, data, model=model, options=model_kwargs)
    net = build_or_explain(spec)
    if manifest is not None:
        models.check_grid(net, (manifest.layout.rows, manifest.layout.columns))
    config, notes = _input(content, flags, spec, net, mean=mean, std=std)
    notes = _compare(path, section, data, net, config, allow_other_layout=allow_other_layout) + notes
    _load_weights(path, net, spec, use_ema=use_ema)
    average = use_ema and content.get("state_dict_ema") is not None
    return Trained(
        model=net,
        spec=spec,
        input=config,
        superimage=section or data,
        weights="average" if average else "weights",
        epoch=epochs_done(content),
        sha256=_sha256(path),
        notes=tuple(notes),
    )


def _spec(
    path: Path, content: Mapping, flags: Mapping, data: Mapping, *, model: str | None, options: dict | None
) -> ModelSpec:
    """The model's specification: from the checkpoint, else from a trainer's flags, else from the data."""
    if "model_spec" in content:
        try:
            spec = ModelSpec.from_dict(content["model_spec"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path}: this version cannot read its model_spec ({error})") from error
    else:
        name = flags.get("model") or model
        if name is None:
            raise ValueError(
                f"{path} does not name its model, and {path.with_name(FLAGS_NAME)} does not exist: give --model"
            )
        from_data = {"num_classes": len(data["class_names"]), "input_size": [3, *image_size(data)]}
        spec = ModelSpec.from_flags({**({} if flags else from_data), **flags, "model": name})
    return dataclasses.replace(spec, **({"name": model} if model else {}), **({"options": options} if options else {}))


def _input(
    content: Mapping,
    flags: Mapping,
    spec: ModelSpec,
    net: nn.Module,
    *,
    mean: list[float] | None,
    std: list[float] | None,
) -> tuple[dict[str, Any], list[str]]:
    """(timm's data configuration of the model's input, a note if mean or std are not from the checkpoint)."""
    stored = content.get("input") if isinstance(content.get("input"), dict) else {}
    given = {name: flags[name] for name in (*_INPUT, "img_size") if flags.get(name) is not None}
    if spec.img_size is not None and "input_size" not in given:
        given["input_size"] = [spec.in_chans, *spec.img_size]
    chosen = {name: value for name, value in (("mean", mean), ("std", std)) if value}
    given = {"crop_pct": 1.0, **given, **{name: stored[name] for name in _INPUT if name in stored}, **chosen}
    config = resolve_data_config(given, model=net)
    notes = []
    if "mean" not in given or "std" not in given:
        used = f"mean {list(config['mean'])} and std {list(config['std'])} from the model's pretrained configuration"
        notes.append(f"the checkpoint has no mean and std; using {used}. --mean and --std change them")
    return config, notes


def _load_weights(path: Path, net: nn.Module, spec: ModelSpec, *, use_ema: bool) -> None:
    try:
        net.load_state_dict(load_state_dict(str(path), use_ema=use_ema))
    # torch raises many kinds of errors for the weights of another model.
    except Exception as error:
        raise ValueError(f"{path} does not fit {spec.name}: {' '.join(str(error).split())[:300]}") from error


def _flags_beside(path: Path) -> dict:
    beside = path.with_name(FLAGS_NAME)
    try:
        flags = yaml.safe_load(beside.read_bytes()) if beside.exists() else {}
    except yaml.YAMLError as error:
        raise ValueError(f"{beside}: not YAML ({' '.join(str(error).split())})") from error
    if not isinstance(flags, dict):
        raise ValueError(f"{beside}: must be a mapping of flags to values, such as 'model: resnet50'")
    return flags


def _compare(
    path: Path, section: dict | None, data: dict, net: nn.Module, config: Mapping, *, allow_other_layout: bool
) -> list[str]:
    """Return a line for each harmless difference, with both values. Raises ValueError for a harmful one."""
    if net.num_classes != len(data["class_names"]) and section is None:
        raise ValueError(f"{path} has {net.num_classes} classes, but the data has {len(data['class_names'])}")
    if section is None:
        size = tuple(config["input_size"][1:])
        _check_size(path, size, image_size(data))
        return [f"{path} has no description of its training data, so class names and layout are not compared"]
    classes = class_difference(section["class_names"], data["class_names"])
    if classes:
        raise ValueError(f"{path} was trained on other classes: {classes}")
    grid = grid_differences(section, data)
    if grid and not allow_other_layout:
        raise ValueError(
            f"{path} was trained on another layout: {'; '.join(grid)}. Give data with that layout, or permit it with "
            "--allow-other-layout"
        )
    _check_size(path, image_size(section), image_size(data))
    return grid + other_differences(section, data)


def _check_size(path: Path, trained: tuple[int, int], given: tuple[int, int]) -> None:
    """Raise ValueError unless the stored images have the size (height, width) of the training images."""
    if trained != given:
        raise ValueError(
            f"{path} was trained on images of {trained[0]}x{trained[1]} pixels, but the images here have "
            f"{given[0]}x{given[1]}; give data with the layout and tile size of the training data"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

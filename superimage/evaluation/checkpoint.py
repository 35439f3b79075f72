"""A trained model out of a checkpoint, for data that the checkpoint was made for."""

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

# The keys of timm's data configuration, which training stores as ``input``.
_INPUT = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model with its weights, what it was trained on, and which of the checkpoint's weights it has.

    ``input`` is timm's data configuration: size, mean, std, interpolation and crop. ``superimage`` is the manifest's
    section that it was trained on, or that of the data if the checkpoint has none. ``epoch`` counts finished epochs.
    ``notes`` say what differs from the data, or cannot be compared.
    """

    model: nn.Module
    spec: ModelSpec
    input: dict[str, Any]
    superimage: dict
    weights: str  # "average", "weights"
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
    """The model of a checkpoint for the super images of ``manifest``; averaged weights if it has them, as timm does.

    Without a manifest, everything comes from the checkpoint. A checkpoint of ``train_image.py`` holds what makes the
    model. For one of another trainer it is read from the flags that the checkpoint holds, or from args.yaml beside it.
    ``mean`` and ``std`` replace its own. Raises ValueError, in one line, where weights and data do not belong together:
    other classes, another grid of tiles, another size.
    """
    shown = f"--checkpoint {path}"
    content = read_checkpoint(path, shown)
    section = trained_on(path, content)
    data = section if manifest is None else manifest.superimage
    if data is None:
        raise ValueError(f"{shown}: it does not say what it was trained on; give the --data-dir")
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
    """What makes the model: as training stored it, or from a trainer's flags, or of the data where there are none."""
    if "model_spec" in content:
        try:
            spec = ModelSpec.from_dict(content["model_spec"])
        except (TypeError, KeyError) as error:
            raise ValueError(f"{path}: this version does not know its model_spec ({error})") from error
    else:
        name = flags.get("model") or model
        if name is None:
            raise ValueError(
                f"{path} does not say which model it is of, and {path.with_name(FLAGS_NAME)} is missing: give --model"
            )
        of_data = {"num_classes": len(data["class_names"]), "input_size": [3, *image_size(data)]}
        spec = ModelSpec.from_flags({**({} if flags else of_data), **flags, "model": name})
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
    """(timm's data configuration for the model's input, a line where mean and std are not the checkpoint's)."""
    stored = content.get("input") if isinstance(content.get("input"), dict) else {}
    given = {name: flags[name] for name in (*_INPUT, "img_size") if flags.get(name) is not None}
    if spec.img_size is not None and "input_size" not in given:
        given["input_size"] = [spec.in_chans, *spec.img_size]
    chosen = {name: value for name, value in (("mean", mean), ("std", std)) if value}
    given = {"crop_pct": 1.0, **given, **{name: stored[name] for name in _INPUT if name in stored}, **chosen}
    config = resolve_data_config(given, model=net)
    notes = []
    if "mean" not in given or "std" not in given:
        used = f"mean {list(config['mean'])} and std {list(config['std'])} of the model's pretrained configuration"
        notes.append(f"the checkpoint does not say its mean and std: {used}; --mean and --std give others")
    return config, notes


def _load_weights(path: Path, net: nn.Module, spec: ModelSpec, *, use_ema: bool) -> None:
    try:
        net.load_state_dict(load_state_dict(str(path), use_ema=use_ema))
    # torch says in many ways that a file holds the weights of something else.
    except Exception as error:
        raise ValueError(f"{path} does not fit {spec.name}: {' '.join(str(error).split())[:300]}") from error


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
    path: Path, section: dict | None, data: dict, net: nn.Module, config: Mapping, *, allow_other_layout: bool
) -> list[str]:
    """What differs, by name and value, and does no harm; ValueError for what does."""
    if net.num_classes != len(data["class_names"]) and section is None:
        raise ValueError(f"{path} tells {net.num_classes} classes apart; the data has {len(data['class_names'])}")
    if section is None:
        size = tuple(config["input_size"][1:])
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

"""The specification of a model, without its weights, as plain data that checkpoints store."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from superimage.models.build import build_model
from superimage.models.windows import Size, Window


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """The arguments of ``build_model`` that determine the architecture, without those for training (dropout, weights).

    ``img_size`` is (height, width) in pixels, or None for the model's default. ``options`` are extra keyword arguments
    of timm's constructor. ``build_model`` documents the other fields.
    """

    name: str
    num_classes: int | None = None
    in_chans: int = 3
    img_size: Size | None = None
    windows: tuple[Window, ...] = ()
    extra_kernels: tuple[int, ...] = ()
    extra_depthwise: bool = False
    global_pool: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_flags(cls, flags: Mapping[str, Any]) -> "ModelSpec":
        """The specification from the flags of ``train_image.py`` or of timm's ``train.py``."""
        input_size, side = flags.get("input_size"), flags.get("img_size")
        if input_size is not None:
            img_size = (input_size[1], input_size[2])
        else:
            img_size = (side, side) if side is not None else None
        return cls(
            name=flags["model"],
            num_classes=flags.get("num_classes"),
            in_chans=input_size[0] if input_size is not None else flags.get("in_chans") or 3,
            img_size=img_size,
            windows=tuple(flags.get("window") or ()),
            extra_kernels=tuple(flags.get("extra_kernels") or ()),
            extra_depthwise=bool(flags.get("extra_depthwise")),
            global_pool=flags.get("gp"),
            options=dict(flags.get("model_kwargs") or {}),
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ModelSpec":
        """The inverse of ``to_dict``. Raises TypeError for unknown keys, such as those of a later version."""
        tuples = {name: tuple(values[name]) for name in ("windows", "extra_kernels") if name in values}
        size = {"img_size": tuple(values["img_size"])} if values.get("img_size") else {}
        return cls(**{**values, **tuples, **size})

    def to_dict(self) -> dict[str, Any]:
        """Plain data: lists, dictionaries, numbers, strings."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def build(self, **training: Any) -> nn.Module:
        """Build the model. ``training``: arguments of ``build_model`` such as dropout and weights."""
        options = {**training, **self.options}
        return build_model(
            self.name,
            img_size=self.img_size,
            windows=self.windows,
            extra_kernels=self.extra_kernels,
            extra_depthwise=self.extra_depthwise,
            num_classes=self.num_classes,
            in_chans=self.in_chans,
            global_pool=self.global_pool,
            **options,
        )

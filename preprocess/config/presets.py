"""Layouts of a configuration, and presets with the settings of the papers."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

from preprocess.config.strict import build
from shards.layouts import ORDERS, Layout, grid_for

# SIFAR's code: one offset for all segments, and test clips shifted by whole frames.
_SIFAR = MappingProxyType({"strategy": "uniform", "offset": "shared", "clip_positions": "sifar"})


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values of a ``LayoutConfig``; ``sampling`` is None if the paper does not specify one."""

    summary: str
    layout: Mapping[str, Any]
    sampling: Mapping[str, Any] | None = None


PRESETS: dict[str, Preset] = {
    "sifar-3x3": Preset(
        summary="8 frames of 224 px in 3x3, the last cell padded (SIFAR 3.2, Fig. 4d; Tables 2, 3 and 4)",
        layout={"frames": 8, "grid": "3x3", "tile": 224},
        sampling=_SIFAR,
    ),
    "sifar-4x4": Preset(
        summary="16 frames of 224 px in 4x4 (SIFAR 3.2, the models marked with a dagger in Tables 1, 3 and 4)",
        layout={"frames": 16, "grid": "4x4", "tile": 224},
        sampling=_SIFAR,
    ),
    "sifar-1x8": Preset(
        summary="8 frames of 192 px in a strip (SIFAR Fig. 4a, Table 8a: the worst layout)",
        layout={"frames": 8, "grid": "1x8", "tile": 192},
        sampling=_SIFAR,
    ),
    "sifar-2x4": Preset(
        summary="8 frames of 192 px in 2x4, row by row (SIFAR Fig. 4b, Table 8a)",
        layout={"frames": 8, "grid": "2x4", "tile": 192},
        sampling=_SIFAR,
    ),
    "sifar-2x4-columns": Preset(
        summary="8 frames of 192 px in 2x4, column by column (SIFAR's second 2x4 of Table 8a, by our reading)",
        layout={"frames": 8, "grid": "2x4", "tile": 192, "order": "column_major"},
        sampling=_SIFAR,
    ),
    "flatten-row-4x4": Preset(
        summary="16 frames of 160 px, row by row (Flatten eq. 2-4, Table 2; 224 px for UniFormer-S)",
        layout={"frames": 16, "grid": "4x4", "tile": 160},
    ),
    "flatten-nested-4x4": Preset(
        summary="16 frames of 160 px, four groups of 2x2 (Flatten eq. 5-10, Table 2)",
        layout={"frames": 16, "grid": "4x4", "tile": 160, "order": "nested", "groups": 4},
    ),
    "flatten-random-4x4": Preset(
        summary="16 frames of 160 px, a new permutation for each view (Flatten eq. 11-13, Table 2)",
        layout={"frames": 16, "grid": "4x4", "tile": 160, "order": "random"},
    ),
    "flatten-row-3x3": Preset(
        summary="9 frames of 160 px, row by row (Flatten Table 1; 224 px for UniFormer-S)",
        layout={"frames": 9, "grid": "3x3", "tile": 160},
    ),
    "stam-16": Preset(
        summary="16 frames of 224 px in 4x4 (STAM 4, Table 3), 1.6 frames a second as in its code",
        layout={"frames": 16, "grid": "4x4", "tile": 224},
        sampling=MappingProxyType({"strategy": "fps", "fps": 1.6}),
    ),
}


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """One layout: T ``frames`` in ``grid`` (``auto`` for SIFAR's rule, or ``2x4``).

    In a configuration, ``preset`` gives defaults for these values. ``sampling`` overrides the sampling of the preset,
    which overrides the sampling at the top of the configuration.
    """

    frames: Annotated[int, "number of frames T in a super image"]
    tile: Annotated[int, "side of a tile in pixels; with a multiple of 16, no JPEG block covers two frames"] = 224
    grid: Annotated[str, "rows x columns, such as 2x4; auto: the smallest grid by SIFAR's rule"] = "auto"
    order: Annotated[str, f"order of the frames in the cells: {', '.join(ORDERS)}"] = "row_major"
    pad: Annotated[
        str,
        "content of cells without a frame: mean (the ImageNet mean color), black, last (the last frame again); with "
        "none, such a grid is an error",
    ] = "mean"
    groups: Annotated[int | None, "number of groups of order nested; by default the square root of frames"] = None
    sampling: Annotated[
        dict | None,
        "sampling of this layout, with the keys of sampling; by default the preset's, or the one at the top",
    ] = None

    def layout(self, name: str) -> Layout:
        rows, columns = grid_for(self.frames) if self.grid == "auto" else self._given_grid()
        return Layout(
            name=name,
            frames=self.frames,
            rows=rows,
            columns=columns,
            order=self.order,
            pad=self.pad,
            tile=self.tile,
            groups=self.groups,
        )

    def _given_grid(self) -> tuple[int, int]:
        rows, separator, columns = self.grid.partition("x")
        if not (separator and rows.isdecimal() and columns.isdecimal()):
            raise ValueError(f"grid={self.grid!r}: must be 'auto' or rows x columns, such as 2x4")
        return int(rows), int(columns)


def named_entries(layouts: Any) -> Any:
    """Turn a list of presets into a mapping: ``[stam-16] -> {stam-16: {preset: stam-16}}``. --set can override each."""
    if isinstance(layouts, list) and layouts and all(isinstance(name, str) for name in layouts):
        return {name: {"preset": name} for name in layouts}
    return layouts


def layout_config(name: str, entry: Any, where: str) -> LayoutConfig:
    """A layout from its entry in a configuration. An entry without values means the preset of the same name."""
    if entry is None:
        entry = {"preset": name}
    if not isinstance(entry, Mapping) or "preset" not in entry:
        return build(LayoutConfig, entry, where)
    given = {key: value for key, value in entry.items() if key != "preset"}
    if entry["preset"] not in PRESETS:
        raise ValueError(f"{where}: no preset {entry['preset']!r}; the presets are {', '.join(PRESETS)}")
    preset = PRESETS[entry["preset"]]
    sampling = {"sampling": dict(preset.sampling)} if preset.sampling is not None else {}
    return build(LayoutConfig, {**preset.layout, **sampling, **given}, where)

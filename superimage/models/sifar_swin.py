"""SIFAR's Swin (SIFAR 3.2, Table 1): timm's Swin with a window for each stage, the last one global.

    timm.create_model("sifar_swin_base_w14_3x3_224", num_classes=400)     # 8 frames of 224 px in a 3x3 super image

Model names are `sifar_swin_<size>_w<window>_<rows>x<columns>_<tile px>`. With the suffix `_ape` (absolute position
embedding), the tokens of each tile get a learned vector of the tile, which SIFAR uses for Something-Something V2 only
(Table 8b).
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from timm.layers import PatchEmbed, get_device_dtype, to_2tuple, trunc_normal_
from timm.models import SwinTransformer, build_model_with_cfg, generate_default_cfgs, get_pretrained_cfg, register_model
from timm.models.swin_transformer import calc_stage_window_sizes, resolve_window_args
from torch import nn

from superimage.models.swin_weights import adapt_swin
from superimage.models.windows import (
    GLOBAL,
    Size,
    Window,
    halving_stages,
    stage_windows,
    unshift_squares,
    verify_windows,
)


class TilePatchEmbed(PatchEmbed):
    """timm's patch embedding plus a vector for each tile: ``frame_pos_embed`` (1, rows * columns, C), row by row.

    ``forward`` repeats timm's code, since TorchScript does not support ``super()``. It uses ``torch._assert``, since
    torch.fx cannot trace a branch that depends on a size.
    """

    def __init__(self, *args: Any, grid: tuple[int, int], output_fmt: str = "NHWC", **kwargs: Any):
        assert output_fmt == "NHWC", f"output_fmt {output_fmt}: must be NHWC for a Swin"
        super().__init__(*args, output_fmt=output_fmt, **kwargs)
        self.grid = tuple(grid)
        tiles = self.grid[0] * self.grid[1]
        factory = get_device_dtype(self.proj)
        self.frame_pos_embed = nn.Parameter(torch.zeros(1, tiles, self.proj.out_channels, **factory))
        trunc_normal_(self.frame_pos_embed, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, H / patch, W / patch, C). AssertionError for an image of another size."""
        height, width = x.shape[-2], x.shape[-1]
        if self.strict_img_size:
            message = f"{height}x{width} px, but the model takes {self.img_size[0]}x{self.img_size[1]} px"
            torch._assert(height == self.img_size[0], message)
            torch._assert(width == self.img_size[1], message)
        tokens = self.norm(self.proj(x).permute(0, 2, 3, 1))
        return tokens + self.tile_map(height // self.patch_size[0], width // self.patch_size[1])

    def tile_map(self, height: int, width: int) -> torch.Tensor:
        """(1, height, width, C): each token has its tile's vector. AssertionError if the tiles are not whole."""
        rows, columns = self.grid
        message = f"{height}x{width} tokens cannot be divided into {rows}x{columns} tiles"
        torch._assert(height % rows == 0, message)
        torch._assert(width % columns == 0, message)
        grid = self.frame_pos_embed.view(rows, columns, -1)
        return grid.repeat_interleave(height // rows, 0).repeat_interleave(width // columns, 1).unsqueeze(0)


def check_tiles(tokens: Size, grid: Size) -> None:
    """Raise ValueError unless ``grid`` (rows, columns) divides the tokens (height, width)."""
    if tokens[0] % grid[0] or tokens[1] % grid[1]:
        raise ValueError(
            f"{tokens[0]}x{tokens[1]} tokens cannot be divided into {grid[0]}x{grid[1]} tiles; set grid to the layout"
        )


def check_grid(model: nn.Module, grid: tuple[int, int]) -> None:
    """Raise ValueError if the model has tile vectors for a grid other than ``grid`` (rows, columns)."""
    embed = getattr(model, "patch_embed", None)
    if isinstance(embed, TilePatchEmbed) and embed.grid != tuple(grid):
        raise ValueError(
            f"the model has a vector for each of {embed.grid[0]}x{embed.grid[1]} tiles, but the data has "
            f"{grid[0]}x{grid[1]} tiles: give --model-kwargs 'grid=({grid[0]},{grid[1]})'"
        )


class SifarSwin(SwinTransformer):
    """timm's Swin with checked windows, which may be ``global``. ``ape`` adds a vector for each tile of ``grid``.

    Raises ValueError for a window that does not divide its stage, and with ``ape`` for a grid that does not divide the
    tokens. ``set_input_size`` raises the same errors.
    """

    def __init__(
        self,
        img_size: int | tuple[int, int] = 224,
        window_size: Window | Sequence[Window] = 7,
        depths: Sequence[int] = (2, 2, 6, 2),
        grid: tuple[int, int] = (3, 3),
        ape: bool = False,
        **kwargs: Any,
    ):
        stages = halving_stages(to_2tuple(img_size), kwargs.get("patch_size", 4), len(depths))
        windows = stage_windows(window_size, stages)
        if ape:
            check_tiles(stages[0], grid)
            kwargs["embed_layer"] = partial(TilePatchEmbed, grid=grid)
        super().__init__(img_size=img_size, window_size=windows, depths=depths, **kwargs)
        unshift_squares(self, window_size)
        verify_windows(self, windows)

    @torch.jit.ignore
    def set_input_size(
        self,
        img_size: int | tuple[int, int] | None = None,
        patch_size: int | tuple[int, int] | None = None,
        window_size: Window | Sequence[Window] | None = None,
        window_ratio: int | Sequence[int] | None = None,
        always_partition: bool | None = None,
    ) -> None:
        """timm's ``set_input_size`` with the checks of the constructor.

        Sizes are in pixels, windows in tokens or ``global``. Without windows, each stage's window is scaled with the
        image. Raises ValueError, before anything is changed, for windows that do not divide their stage.
        """
        size = self.patch_embed.img_size if img_size is None else to_2tuple(img_size)
        patch = self.patch_embed.patch_size if patch_size is None else to_2tuple(patch_size)
        stages = halving_stages(size, patch, len(self.layers))
        asked = window_size or ()
        if window_size is not None:
            window_size = stage_windows(window_size, stages)
        given, ratios = resolve_window_args(window_size, window_ratio, len(self.layers))
        reference = (self._ref_window_sizes, self._ref_grid_size)
        windows = stage_windows(calc_stage_window_sizes(stages[0], *reference, given, ratios), stages)
        if isinstance(self.patch_embed, TilePatchEmbed):
            check_tiles(stages[0], self.patch_embed.grid)
        super().set_input_size(size, patch_size, window_size, window_ratio, always_partition)
        unshift_squares(self, asked)
        verify_windows(self, windows)

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        return super().no_weight_decay() | {"patch_embed.frame_pos_embed"}


# Widths, depths and heads: Swin, section 3.3. The last item is the timm model whose ImageNet-21K weights SIFAR starts
# from, except for tiles of 384 px: see _starts_from.
SIZES = {
    "tiny": ({"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24)}, "swin_tiny_patch4_window7_224"),
    "small": ({"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24)}, "swin_small_patch4_window7_224"),
    "base": ({"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)}, "swin_base_patch4_window7_224"),
    "large": (
        {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48)},
        "swin_large_patch4_window7_224",
    ),
}
# (size, window of the first three stages, window of the last, grid, tile in px): SIFAR Tables 1, 3, 4, 5. Tiny and
# small are our additions, for small GPUs.
SHAPES = (
    ("base", 7, 7, (3, 3), 224),
    ("base", 12, GLOBAL, (3, 3), 192),
    ("base", 14, GLOBAL, (3, 3), 224),
    ("base", 12, GLOBAL, (4, 4), 192),
    ("base", 14, GLOBAL, (4, 4), 224),
    ("base", 12, GLOBAL, (3, 3), 384),
    ("large", 12, GLOBAL, (4, 4), 192),
    ("large", 14, GLOBAL, (4, 4), 224),
    ("large", 12, GLOBAL, (3, 3), 384),
    ("tiny", 6, GLOBAL, (3, 3), 96),
    ("tiny", 8, GLOBAL, (3, 3), 128),
    ("tiny", 12, GLOBAL, (3, 3), 192),
    ("tiny", 14, GLOBAL, (3, 3), 224),
    ("small", 12, GLOBAL, (3, 3), 192),
    ("small", 14, GLOBAL, (3, 3), 224),
)


def _preset(size: str, window: int, last: Window, grid: tuple[int, int], tile: int, ape: bool) -> tuple[str, dict]:
    name = f"sifar_swin_{size}_w{window}_{grid[0]}x{grid[1]}_{tile}" + ("_ape" if ape else "")
    image = (grid[0] * tile, grid[1] * tile)
    windows = (window, window, window, last)
    return name, {**SIZES[size][0], "img_size": image, "window_size": windows, "grid": grid, "ape": ape}


PRESETS = dict(
    _preset(size, window, last, grid, tile, ape) for size, window, last, grid, tile in SHAPES for ape in (False, True)
)


def _starts_from(name: str) -> str:
    """The published model whose weights a preset starts from, as in SIFAR's code: for 384 px the one with window 12."""
    size, tile = name.split("_")[2], PRESETS[name]["img_size"][0] // PRESETS[name]["grid"][0]
    published = SIZES[size][1]
    return published.replace("window7_224", "window12_384") if tile == 384 else published


def _cfg(name: str) -> dict:
    published = get_pretrained_cfg(f"{_starts_from(name)}.ms_in22k")
    height, width = PRESETS[name]["img_size"]
    return {
        "url": published.url,
        "hf_hub_id": published.hf_hub_id,
        "num_classes": published.num_classes,
        "input_size": (3, height, width),
        "pool_size": (height // 32, width // 32),
        "fixed_input_size": True,
        "crop_pct": 1.0,
        "interpolation": published.interpolation,
        "mean": published.mean,
        "std": published.std,
        "first_conv": "patch_embed.proj",
        "classifier": "head.fc",
        "license": published.license,
    }


default_cfgs = generate_default_cfgs({f"{name}.ms_in22k": _cfg(name) for name in PRESETS})


def _register(name: str) -> None:
    def entrypoint(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return build_model_with_cfg(
            SifarSwin,
            name,
            pretrained,
            pretrained_filter_fn=adapt_swin,
            feature_cfg={"out_indices": (0, 1, 2, 3), "flatten_sequential": True},
            **{**PRESETS[name], **kwargs},
        )

    entrypoint.__name__ = entrypoint.__qualname__ = name
    globals()[name] = register_model(entrypoint)


for _name in PRESETS:
    _register(_name)

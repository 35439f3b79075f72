"""Attention windows of a Swin, one for each stage: which sizes fit. Sizes that timm would change are refused.

timm silently shrinks a window that is larger than its stage, and silently pads a stage that its window does not divide,
so that attention includes padding. SIFAR 3.2 requires windows that divide their stages.
"""

import math
from collections.abc import Sequence

from timm.models import SwinTransformer, SwinTransformerV2, SwinTransformerV2Cr
from torch import nn

GLOBAL, SQUARE = "global", "square"
Size = tuple[int, int]
Window = int | str | Size


def stage_windows(windows: Window | Sequence[Window], stages: Sequence[Size]) -> tuple[Size, ...]:
    """The window (height, width) of each stage, in tokens.

    ``(14, 14, 14, "global")``, stages 168, 84, 42 and 21 square -> ``((14, 14), (14, 14), (14, 14), (21, 21))``.
    ``global`` is one window over the whole stage. ``square`` is a window with the stage's shorter side (7x56 tokens ->
    (7, 7)), see :func:`unshift_squares`. A single window, or a pair of numbers as in timm, is used for all stages.
    Raises ValueError for a window that does not divide its stage. SIFAR 3.2.
    """
    pair = not isinstance(windows, int | str) and len(windows) == 2 and all(isinstance(side, int) for side in windows)
    given = [windows] if pair or isinstance(windows, int | str) else list(windows)
    if len(given) not in (1, len(stages)):
        raise ValueError(f"{len(given)} windows {given} for {len(stages)} stages: give one, or one for each stage")
    given = given * len(stages) if len(given) == 1 else given
    return tuple(_window(window, index, stage) for index, (window, stage) in enumerate(zip(given, stages)))


def unshift_squares(model: nn.Module, windows: Window | Sequence[Window]) -> None:
    """Turn off shifted windows in the stages of a Swin (V1) whose window is ``square``.

    SIFAR's code uses this window if the shorter side of a stage is at most the window size, and does not shift it. timm
    would shift it along the longer side. On a square map, ``square`` equals ``global``. Raises ValueError for another
    network.
    """
    words = [windows] if isinstance(windows, int | str) else list(windows)
    if SQUARE not in words:
        return
    if not isinstance(model, SwinTransformer):
        raise ValueError(f"window {SQUARE} needs a timm Swin (V1), but the model is {type(model).__name__}")
    for word, stage in zip(words * len(model.layers) if len(words) == 1 else words, model.layers):
        for block in stage.blocks if word == SQUARE else ():
            block.target_shift_size = block.shift_size = (0, 0)
            block.register_buffer("attn_mask", None, persistent=False)


def _window(window: Window, index: int, stage: Size) -> Size:
    if window == GLOBAL:
        return tuple(stage)
    given = min(stage) if window == SQUARE else window
    try:
        height, width = (int(given),) * 2 if isinstance(given, int | str) else map(int, given)
    except ValueError:
        raise ValueError(f"window {window} of stage {index + 1}: must be a number, {GLOBAL} or {SQUARE}") from None
    if min(height, width) < 1 or stage[0] % height or stage[1] % width:
        fitting = ", ".join(str(size) for size in divisors(math.gcd(*stage)))
        raise ValueError(
            f"window {window} of stage {index + 1} does not divide its {stage[0]}x{stage[1]} tokens; "
            f"what fits: {fitting}, or {GLOBAL}"
        )
    return height, width


def divisors(number: int) -> list[int]:
    """All divisors: ``12 -> [1, 2, 3, 4, 6, 12]``."""
    return [size for size in range(1, number + 1) if number % size == 0]


def halving_stages(image_size: Size, patch: int | Size = 4, num_stages: int = 4) -> list[Size]:
    """Tokens (height, width) of each stage of a hierarchical network: ``(672, 672) -> [(168, 168), (84, 84), ...]``.

    Each stage halves both sides. Raises ValueError if a side cannot be halved that often, since timm would pad it.
    """
    patches = (patch, patch) if isinstance(patch, int) else tuple(patch)
    units = [patch * 2 ** (num_stages - 1) for patch in patches]
    if any(side % unit for side, unit in zip(image_size, units)):
        rule = f"both sides must be multiples of {units[0]} px"
        if units[0] != units[1]:
            rule = f"the height must be a multiple of {units[0]} px and the width of {units[1]} px"
        raise ValueError(f"an image of {image_size[0]}x{image_size[1]} px: {rule}")
    return [tuple(side // (unit * 2**index) for side, unit in zip(image_size, patches)) for index in range(num_stages)]


def built_stages(model: nn.Module) -> list[tuple[Size, set[Size]]]:
    """For each stage of a timm Swin (V1, V2, V2-Cr): its tokens, and the windows that its blocks have."""
    if not isinstance(model, SwinTransformer | SwinTransformerV2 | SwinTransformerV2Cr):
        raise ValueError(f"{type(model).__name__} has no attention windows; only a timm Swin has them")
    stages = model.stages if isinstance(model, SwinTransformerV2Cr) else model.layers
    tokens = [getattr(stage, "output_resolution", None) or stage.feat_size for stage in stages]
    return [(tuple(size), {tuple(block.window_size) for block in stage.blocks}) for size, stage in zip(tokens, stages)]


def padded_stages(stages: Sequence[tuple[Size, set[Size]]]) -> list[str]:
    """The stages, from :func:`built_stages`, that timm pads: ``["stage 1: window 7x7, 48x48 tokens"]``."""
    return [
        f"stage {number}: window {height}x{width}, {tokens[0]}x{tokens[1]} tokens"
        for number, (tokens, windows) in enumerate(stages, 1)
        for height, width in sorted(windows)
        if tokens[0] % height or tokens[1] % width
    ]


def windows_for_all(stages: Sequence[Size]) -> list[int]:
    """The square windows that divide every stage: ``[(48, 48), (24, 24), (12, 12), (6, 6)] -> [1, 2, 3, 6]``."""
    return divisors(math.gcd(*(side for stage in stages for side in stage)))


def verify_windows(model: nn.Module, windows: Sequence[Size]) -> None:
    """Raise ValueError unless every block has the window of its stage: some timm models misread the tuple."""
    for index, ((_, built), asked) in enumerate(zip(built_stages(model), windows, strict=True)):
        if built != {tuple(asked)}:
            raise ValueError(
                f"stage {index + 1} of {type(model).__name__}: window {tuple(asked)} was requested, but timm built "
                f"{sorted(built)}; timm has no window for each stage of this model, so give one window for all"
            )

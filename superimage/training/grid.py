"""Fits the flags to super images: sets them from the manifest, and refuses those that would break the grid."""

import argparse
from collections.abc import Collection
from pathlib import Path

from timm.data import auto_augment

from shards.epochs import ALL, CYCLE
from shards.format import RECORDS_DIR, Manifest, read_manifest
from shards.storage import is_url
from superimage.training.flags import cuts

# Flags that only apply to super images.
_OURS = {"allow_grid_breaking", "views", "tile_order"}


def find_super_images(args: argparse.Namespace, explicit: Collection[str]) -> Manifest | None:
    """The manifest of ``--data-dir``, or None for other images. Raises ValueError if the directory is unusable."""
    if args.data_dir is None:
        raise ValueError("--data-dir is required: give the directory of the dataset")
    shards = args.dataset.startswith("wds/")
    manifest = read_manifest(args.data_dir) if shards or not args.dataset else None
    if manifest is None:
        if not args.dataset:
            _check_folder(args.data_dir)
        idle = _OURS if shards else _OURS | {"shuffle_size"}
        for name in sorted(name for name in idle & set(explicit) if getattr(args, name)):
            raise ValueError(f"--{name.replace('_', '-')} has no effect here: {args.data_dir} contains no super images")
        if args.aa:
            geometric_operations(args.aa)
        return None
    # A subset has its own classes. The split may be unknown here, since timm's reader accepts other names too.
    return manifest.for_split(args.train_split) if args.train_split in manifest.splits else manifest


def _check_folder(location: str) -> None:
    if is_url(location):
        raise ValueError(f"--data-dir {location}: no _info.json there; give the URL of a complete layout")
    root = Path(location)
    if not root.is_dir():
        raise ValueError(f"--data-dir {root}: no such directory")
    if (root / RECORDS_DIR).is_dir():
        raise ValueError(f"--data-dir {root}: the conversion is incomplete; run the same 'preprocess' command again")
    layouts = sorted(str(path.parent) for path in root.glob("*/_info.json"))
    if layouts:
        raise ValueError(f"--data-dir {root} contains one directory for each layout; give one of {', '.join(layouts)}")


def fit_to_grid(
    args: argparse.Namespace, explicit: Collection[str], manifest: Manifest
) -> tuple[argparse.Namespace, list[str]]:
    """Set the flags for super images; returns the flags and a line for each that differs from timm's default.

    Flags that the user has given are kept. Raises ValueError if one would break the grid, unless
    --allow-grid-breaking is given.
    """
    broken = [] if args.allow_grid_breaking else grid_breakers(args, explicit, manifest)
    if broken:
        raise ValueError(f"{'; '.join(broken)}. Leave it out, or permit it with --allow-grid-breaking")
    if args.class_map:
        raise ValueError(f"--class-map {args.class_map}: the classes of super images are fixed; leave --class-map out")
    if args.num_classes not in (None, len(manifest.class_names)):
        raise ValueError(f"--num-classes {args.num_classes}: the data has {len(manifest.class_names)} classes")
    for name in ("views", "tile_order"):
        if args.dataset and name in explicit:
            flag = f"--{name.replace('_', '-')} {getattr(args, name)}"
            raise ValueError(f"{flag}: timm's reader, --dataset {args.dataset}, cannot do that; leave --dataset out")
    height, width = manifest.image_size
    values = {
        "input_size": [3, height, width],
        "num_classes": len(manifest.class_names),
        "mean": list(manifest.mean),
        "std": list(manifest.std),
        "crop_pct": 1.0,
        "scale": [1.0, 1.0],
        "ratio": [width / height, width / height],
        "hflip": 0.0,
    }
    taken = {"input_size"} if "img_size" in explicit else set()
    chosen = {name: value for name, value in values.items() if name not in explicit and name not in taken}
    notes = [f"super images: --{name.replace('_', '-')} {value}" for name, value in chosen.items()]
    notes += describe_epochs(args, manifest) + fit_cutmix(args, manifest)
    return argparse.Namespace(**{**vars(args), **chosen}), notes


def fit_cutmix(args: argparse.Namespace, manifest: Manifest) -> list[str]:
    """A line about CutMix on tiles if it is on. Raises ValueError if the tiles are not whole, or too small for a box.

    ``--cutmix 1 --input-size 3 96 96``, 3x3 tiles -> ``--cutmix 1.0 cuts the same box out of every tile of 32x32``.
    """
    if not cuts(args):
        return []
    parts = args.cutmix_minmax
    flag = f"--cutmix {args.cutmix}" if parts is None else f"--cutmix-minmax {parts}"
    height, width = given_size(args) or manifest.image_size
    rows, columns = manifest.layout.rows, manifest.layout.columns
    if height % rows or width % columns:
        raise ValueError(
            f"{flag} cuts the same box out of every tile, but {height}x{width} pixels are not {rows}x{columns} whole "
            f"tiles; give an --input-size whose height is a multiple of {rows} and width of {columns}, or no CutMix"
        )
    tile = (height // rows, width // columns)
    # timm draws whole numbers of pixels, from the smaller fraction up to, but without, the larger one.
    if parts is not None and not all(0 <= int(side * parts[0]) < int(side * parts[1]) <= side for side in tile):
        raise ValueError(
            f"{flag}: tiles of {tile[0]}x{tile[1]} pixels have no such box; give the smaller fraction first, both from "
            "0 to 1, at least a pixel apart"
        )
    return [f"super images: {flag} cuts the same box out of every tile of {tile[0]}x{tile[1]}"]


def describe_epochs(args: argparse.Namespace, manifest: Manifest) -> list[str]:
    """A line about the length of an epoch, if the videos have more than one view."""
    num_views = manifest.num_views.get(args.train_split, 1)
    if num_views == 1:
        return []
    whole = f"an epoch is {num_views} passes over the videos, one of each view"
    if args.dataset:
        return [f"super images: timm's reader reads all {num_views} views of split {args.train_split}: {whole}"]
    if args.views == ALL:
        return [f"super images: --views all: {whole}"]
    which = f"view e % {num_views} in epoch e" if args.views == CYCLE else f"view {args.views}"
    return [f"super images: --views {args.views}: an epoch is one pass over the videos, and reads {which}"]


def keeps_grid(args: argparse.Namespace, manifest: Manifest, *, training: bool) -> bool:
    """Whether the images of training or validation keep the grid of the layout, possibly at another size."""
    given = {name for name, value in vars(args).items() if value is not None}
    breakers = {breaker.split()[0] for breaker in grid_breakers(args, given, manifest)}
    of_validation = {"--crop-pct", "--img-size", "--input-size"}
    return not (breakers - {"--crop-pct"} if training else breakers & of_validation)


def shows_whole_grid(manifest: Manifest, size: tuple[int, int], crop_pct: float) -> bool:
    """Whether evaluation at ``size`` (height, width) px with ``crop_pct`` keeps all tiles in place."""
    height, width = manifest.image_size
    return crop_pct == 1 and size[0] * width == size[1] * height


def grid_breakers(args: argparse.Namespace, explicit: Collection[str], manifest: Manifest) -> list[str]:
    """The given flags that would cut, mirror or warp the grid of tiles, each with its reason. Color jitter is safe."""
    height, width = manifest.image_size
    size = given_size(args)
    warps = {} if args.no_aug else _grid_breaking_augmentation(args, width / height)
    checks = {
        "crop_pct": args.crop_pct is not None and args.crop_pct != 1 and "cuts the outer tiles in validation",
        "img_size": size is not None and size[0] * width != size[1] * height and "has another aspect ratio",
        **warps,
    }
    checks["input_size"] = checks["img_size"]
    return [
        f"--{name.replace('_', '-')} {getattr(args, name)} {reason}"
        for name, reason in checks.items()
        if reason and name in explicit
    ]


def _grid_breaking_augmentation(args: argparse.Namespace, aspect: float) -> dict[str, str | bool]:
    geometric = geometric_operations(args.aa) if args.aa else []
    return {
        "scale": any(value != 1 for value in args.scale) and "crops tiles away",
        "ratio": any(value != aspect for value in args.ratio) and "crops tiles away",
        "train_crop_mode": args.train_crop_mode != "rrc" and "shifts the grid",
        "hflip": args.hflip > 0 and "mirrors the rows of the grid",
        "vflip": args.vflip > 0 and "mirrors the columns of the grid",
        "aa": bool(geometric) and f"moves pixels across tiles ({', '.join(geometric)})",
    }


def geometric_operations(policy: str) -> list[str]:
    """The operations of a timm policy that move pixels: ``"3a" -> []``, ``"original" -> ["Rotate", "ShearX", ...]``."""
    makers = {"rand": auto_augment.rand_augment_transform, "augmix": auto_augment.augment_and_mix_transform}
    make = next((maker for prefix, maker in makers.items() if policy.startswith(prefix)), None)
    try:
        transform = (make or auto_augment.auto_augment_transform)(policy, {"translate_const": 1, "translate_pct": 0.1})
    except AssertionError as error:
        raise ValueError(f"--aa {policy}: timm has no such policy ({error})") from error
    operations = transform.ops if make else [operation for step in transform.policy for operation in step]
    return sorted({op.name for op in operations if op.name.startswith(("Rotate", "Shear", "Translate"))})


def given_size(args: argparse.Namespace) -> tuple[int, int] | None:
    """(height, width) from the flags, or None."""
    if args.input_size is not None:
        return args.input_size[1], args.input_size[2]
    return (args.img_size, args.img_size) if args.img_size is not None else None

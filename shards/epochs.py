"""Chooses the views that each epoch reads. Pure.

An epoch is one pass over the videos, as in the papers' recipes. A split such as ``train`` contains V views per video.
"""

from shards.format import Manifest, Split, view_split

CYCLE, ALL = "cycle", "all"
TILE_ORDERS = ("stored", "random")  # values of --tile-order


def epoch_splits(manifest: Manifest, name: str, views: str) -> tuple[Split, ...]:
    """The splits that the epochs read in turn: epoch e reads split ``e % len``.

    ``train`` with 2 views: ``cycle -> train_v00, train_v01``; ``all -> train``; ``1 -> train_v01``. Raises ValueError
    for an unknown split or view, and for views with different numbers of samples.
    """
    whole, num_views = manifest.split(name), manifest.num_views.get(name, 1)
    if views == ALL or (views == CYCLE and num_views == 1):
        return (whole,)
    missing = [view for view in range(num_views) if num_views > 1 and view_split(name, view) not in manifest.splits]
    if missing:
        raise ValueError(
            f"the manifest has no split {view_split(name, missing[0])}, so single views of {name} cannot be read; "
            "give --views all"
        )
    chosen = range(num_views) if views == CYCLE else [_number(views, name, num_views)]
    splits = tuple(manifest.split(view_split(name, view)) if num_views > 1 else whole for view in chosen)
    lengths = {split.name: split.num_samples for split in splits}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"the views of split {name} have different numbers of samples ({lengths}), so an epoch would not be one "
            "pass over the videos; give --views all"
        )
    return splits


def _number(views: str, name: str, num_views: int) -> int:
    if not views.isdecimal() or int(views) >= num_views:
        known = "view 0" if num_views == 1 else f"views 0 to {num_views - 1}"
        raise ValueError(f"--views {views}: split {name} has {known}; give cycle, all or one of them")
    return int(views)

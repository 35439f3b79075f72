"""Check that this node can work on a conversion: it sees the output, the source and the planned videos.

Every node must see what the driver saw while planning. A difference is a fault of the node, not of the video.
"""

import os
import platform
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from preprocess.annotations.dataset import Video
from preprocess.worker.messages import Job, UnfitNodeError
from shards.format import RECORDS_DIR

_WAY_OUT = "mount the disk there, or leave this node out of the cluster"
# A network disk may hide a file briefly, for example while its server restarts.
_SECOND_LOOK_SECONDS = 2.0


def refuse_unfit_directories(job: Job) -> None:
    """Raise UnfitNodeError if this node cannot write to the output, or sees no source or an empty one."""
    for layout in job.config.layouts:
        records = Path(job.output) / layout / RECORDS_DIR
        if not records.is_dir():
            raise _unfit(f"{job.output}/{layout}", "missing", "it was removed, or is not on a shared disk")
        if not os.access(records, os.W_OK | os.X_OK):
            raise _unfit(str(records), "not writable", "is it mounted read-only, or owned by another user?")
    if job.videos_url is None:
        _refuse_unfit_source(job.source)


def _refuse_unfit_source(source: str) -> None:
    if not os.path.isdir(source):
        raise _unfit(source, "missing", f"it was removed, or is not on a shared disk; {_WAY_OUT}")
    try:
        with os.scandir(source) as entries:
            is_empty = next(entries, None) is None
    except OSError as error:
        raise _unfit(source, "not readable", f"{error.strerror}; {_WAY_OUT}") from error
    if is_empty:
        raise _unfit(source, "an empty directory", f"its disk is not mounted; {_WAY_OUT}")


def _unfit(path: str, what: str, why: str) -> UnfitNodeError:
    return UnfitNodeError(f"{path}: {what} on {platform.node()}; {why}")


def refuse_unseen_videos(job: Job, videos: Sequence[Video], gone: Collection[str]) -> None:
    """Raise UnfitNodeError with the paths if this node cannot read videos that the driver saw while planning.

    ``gone`` names the videos that the driver no longer sees either. With ``--videos-url`` the driver saw only the
    lists.
    """
    if job.videos_url is not None:
        return
    paths = [video.path for video in videos if video.path not in gone]
    unseen = unseen_of(job, paths)
    if unseen:
        time.sleep(_SECOND_LOOK_SECONDS)
        unseen = unseen_of(job, unseen)
    if unseen:
        others = f" and {len(unseen) - 1} more of this batch" if len(unseen) > 1 else ""
        raise UnfitNodeError(
            f"{os.path.join(job.source, unseen[0])}{others}: not readable on {platform.node()}, although the driver "
            f"saw the file while planning; {_WAY_OUT}",
            unseen=unseen,
        )


def unseen_of(job: Job, paths: Iterable[str]) -> list[str]:
    """Return the paths of the videos that this process cannot read."""
    return [path for path in paths if not os.access(os.path.join(job.source, path), os.R_OK)]

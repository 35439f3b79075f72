"""Whether this machine can do its part of a conversion: it sees the output, the source, and the planned videos.

What the driver saw when it planned, every machine must see. A difference is the machine's fault, not the video's.
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
# A network disk may hide a file for a moment: a server restarts, or a cached answer is out of date.
_SECOND_LOOK_SECONDS = 2.0


def refuse_unfit_directories(job: Job) -> None:
    """UnfitNodeError where this machine cannot write to the output, or sees no source or an empty one."""
    for layout in job.config.layouts:
        records = Path(job.output) / layout / RECORDS_DIR
        if not records.is_dir():
            raise _unfit(f"{job.output}/{layout}", "not there", "it was removed, or is not on a disk that all share")
        if not os.access(records, os.W_OK | os.X_OK):
            raise _unfit(str(records), "not writable", "is it mounted read-only, or owned by another user?")
    if job.videos_url is None:
        _refuse_unfit_source(job.source)


def _refuse_unfit_source(source: str) -> None:
    if not os.path.isdir(source):
        raise _unfit(source, "not there", f"it was removed, or is not on a disk that all share; {_WAY_OUT}")
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
    """UnfitNodeError, with the paths, where this machine cannot read videos that the driver saw when it planned.

    ``gone`` names those that the driver no longer sees either. With ``--videos-url`` the driver saw only the lists.
    """
    if job.videos_url is not None:
        return
    paths = [video.path for video in videos if video.path not in gone]
    unseen = unseen_of(job, paths)
    if unseen:
        time.sleep(_SECOND_LOOK_SECONDS)
        unseen = unseen_of(job, unseen)
    if unseen:
        others = f" and {len(unseen) - 1} more of this shard" if len(unseen) > 1 else ""
        raise UnfitNodeError(
            f"{os.path.join(job.source, unseen[0])}{others}: not readable on {platform.node()}, though the driver saw "
            f"the file when it planned; {_WAY_OUT}",
            unseen=unseen,
        )


def unseen_of(job: Job, paths: Iterable[str]) -> list[str]:
    """Those of the videos' paths that this process cannot read."""
    return [path for path in paths if not os.access(os.path.join(job.source, path), os.R_OK)]

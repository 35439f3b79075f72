"""``python -m preprocess.worker.child``: the process that may crash, hang or bloat. ``sandbox.py`` starts it.

It takes a job, and tells the versions of its libraries; then it takes (split, video) pairs, and answers each with a
JSON message and one message of bytes per image. What comes back from a process that has parsed untrusted files is never
unpickled.
"""

import fcntl
import json
import os
import resource
import select
import signal
import sys
from multiprocessing.connection import Connection

from preprocess import reasons
from preprocess.annotations.dataset import Video
from preprocess.worker.messages import Converted, Job, unexpected_detail
from preprocess.worker.versions import shaping_versions
from preprocess.worker.video import convert_video
from shards.records import Failure

_F_SETSIG = 10  # of Linux's fcntl.h; Python has no name for it
_DATA_PAGES_FIELD = 5  # of /proc/self/statm


def main() -> None:
    """Serve until the commands end. Arguments: the descriptors of commands, replies and the worker's lifeline."""
    commands, replies, lifeline = (int(argument) for argument in sys.argv[1:])
    commands, replies = Connection(commands, writable=False), Connection(replies, readable=False)
    _die_with_the_writer_of(lifeline)
    job: Job = commands.recv()
    _limit_memory(job.config.memory_limit_mb << 20)
    replies.send_bytes(json.dumps(shaping_versions()).encode("ascii"))
    while True:
        try:
            split, video = commands.recv()
        except EOFError:
            return
        _send(replies, _convert(job, split, video))


def _convert(job: Job, split: str, video: Video) -> Converted:
    try:
        return convert_video(job, split, video)
    except MemoryError:
        reason, detail = reasons.MEMORY_LIMIT, f"needs more than memory_limit_mb={job.config.memory_limit_mb}"
    except Exception as error:
        # No one foresaw it, so it may be our mistake: counted under a reason of its own, with the place it came from.
        reason, detail = reasons.UNEXPECTED, unexpected_detail(error)
    return Converted(failure=Failure(video=video.key, path=video.path, reason=reason, detail=detail))


def _send(replies: Connection, converted: Converted) -> None:
    # By hand: dataclasses.asdict() would copy the metadata through and through.
    samples = [(layout, view, {**vars(sample)}) for (layout, view), sample in converted.samples.items()]
    images = [fields.pop("image") for _, _, fields in samples]
    failure = converted.failure and vars(converted.failure)
    message = {"samples": samples, "failure": failure, "facts": vars(converted.facts)}
    replies.send_bytes(json.dumps(message).encode("ascii"))
    for image in images:
        replies.send_bytes(image)


def _die_with_the_writer_of(lifeline: int) -> None:
    """Ask the kernel to end this process and its children once the other end of the pipe is closed.

    That is when the worker ends, however it ends; and it works in the middle of a decoder's loop, where no code of
    ours runs. A parent-death signal (prctl) follows the thread that started this process, which may end before the
    worker does.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:  # it was closed before we asked
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _limit_memory(num_bytes: int) -> None:
    """Allow ``num_bytes`` of data beside what the libraries took at the start; children such as ffmpeg inherit it."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[_DATA_PAGES_FIELD])
        limit = pages * resource.getpagesize() + num_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()

"""The process that may crash, hang or run out of memory: ``python -m preprocess.worker.child``, started by
``sandbox.py``.

It receives a job and sends the versions of its libraries. Then it receives (split, video) pairs, and answers each
with a JSON message and one message of bytes per image. The worker never unpickles what this process sends, because it
has parsed untrusted files.
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
from preprocess.worker.messages import Job, VideoResult, unexpected_detail
from preprocess.worker.versions import shaping_versions
from preprocess.worker.video import make_samples
from shards.records import Failure

_F_SETSIG = 10  # from Linux's fcntl.h; Python has no name for it
_DATA_PAGES_FIELD = 5  # of /proc/self/statm


def main() -> None:
    """Serve until the pipe of commands closes.

    Arguments: the descriptors of the commands, the replies and the worker's lifeline.
    """
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
        _send(replies, _result_of(job, split, video))


def _result_of(job: Job, split: str, video: Video) -> VideoResult:
    try:
        return make_samples(job, split, video)
    except MemoryError:
        reason, detail = reasons.MEMORY_LIMIT, f"needs more than memory_limit_mb={job.config.memory_limit_mb}"
    except Exception as error:
        # This may be a bug of ours, so it has a reason of its own, and the detail names the place in the code.
        reason, detail = reasons.UNEXPECTED, unexpected_detail(error)
    return VideoResult(failure=Failure(video=video.key, path=video.path, reason=reason, detail=detail))


def _send(replies: Connection, result: VideoResult) -> None:
    # Not dataclasses.asdict(): it would deep-copy the metadata.
    samples = [(layout, view, {**vars(sample)}) for (layout, view), sample in result.samples.items()]
    images = [fields.pop("image") for _, _, fields in samples]
    failure = result.failure and vars(result.failure)
    message = {"samples": samples, "failure": failure, "statistics": vars(result.statistics)}
    replies.send_bytes(json.dumps(message).encode("ascii"))
    for image in images:
        replies.send_bytes(image)


def _die_with_the_writer_of(lifeline: int) -> None:
    """Ask the kernel to kill this process and its children when the other end of the pipe is closed.

    The pipe closes when the worker ends for any reason. The signal also interrupts a decoder's loop, where none of
    our code runs. A parent-death signal (prctl) would follow the thread that started this process, which may end
    before the worker does.
    """
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, _F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:  # the pipe was closed before
            os.killpg(os.getpgrp(), signal.SIGKILL)


def _limit_memory(num_bytes: int) -> None:
    """Allow ``num_bytes`` of data in addition to what the libraries use at the start. Child processes inherit the
    limit.
    """
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="utf-8") as file:
            pages = int(file.read().split()[_DATA_PAGES_FIELD])
        limit = pages * resource.getpagesize() + num_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()

"""``python -m preprocess.decoder_process``: the process that may crash, hang or bloat. ``sandbox.py`` starts it.

It takes a job, and tells the versions of its libraries; then it takes (split, video) pairs, and answers each with a
JSON message and one message of bytes per image. What comes back from a process that has parsed untrusted files is never
unpickled.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from multiprocessing.connection import Connection

from preprocess.annotations.dataset import Video
from preprocess.convert import convert_video
from preprocess.job import MEMORY_LIMIT, UNEXPECTED, Converted, Job
from preprocess.versions import shaping_versions
from shards.records import Failure

_PR_SET_PDEATHSIG = 1
_DATA_PAGES_FIELD = 5  # of /proc/self/statm


def main() -> None:
    """Serve until the commands end. Arguments: two descriptors, and the process id of the parent."""
    commands, replies, parent = (int(argument) for argument in sys.argv[1:])
    commands, replies = Connection(commands, writable=False), Connection(replies, readable=False)
    _die_with(parent)
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
        reason, detail = MEMORY_LIMIT, f"needs more than memory_limit_mb={job.config.memory_limit_mb}"
    except Exception as error:
        # No one foresaw it, so it may be our mistake: counted under a reason of its own, with the place it came from.
        place = traceback.extract_tb(error.__traceback__)[-1]
        reason = UNEXPECTED
        detail = f"{type(error).__name__}: {error}, at {os.path.basename(place.filename)}:{place.lineno}"
    return Converted(failure=Failure(video=video.key, path=video.path, reason=reason, detail=detail))


def _send(replies: Connection, converted: Converted) -> None:
    # By hand: dataclasses.asdict() would copy the metadata through and through.
    samples = [{**vars(item), "sample": {**vars(item.sample)}} for item in converted.samples]
    images = [item["sample"].pop("image") for item in samples]
    failure = converted.failure and vars(converted.failure)
    message = {"samples": samples, "failure": failure, "facts": vars(converted.facts)}
    replies.send_bytes(json.dumps(message).encode("ascii"))
    for image in images:
        replies.send_bytes(image)


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process with the one that started it, even in the middle of a decoder's loop."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(num_bytes: int) -> None:
    """Allow ``num_bytes`` of data beside what the libraries took at the start; children such as ffmpeg inherit it."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[_DATA_PAGES_FIELD])
        limit = pages * resource.getpagesize() + num_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


if __name__ == "__main__":
    main()

"""Ctrl-C: suppresses the tracebacks of loader workers, and makes the command that resumes a run."""

import contextlib
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence

from shards.program import shown_command

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


@contextlib.contextmanager
def workers_ignore_interrupts() -> Iterator[None]:
    """Only this process handles Ctrl-C. A terminal sends it to all processes; the workers ignore it and are ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    this = os.getpid()

    def interrupt(signum: int, frame: object) -> None:
        if os.getpid() == this:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def release_frames(error: KeyboardInterrupt) -> None:
    """Free the local variables of the interrupted functions, and suppress errors from their destructors.

    If torch's loader is interrupted while it starts its workers, its ``__del__`` raises an AttributeError, which Python
    would print as a traceback.
    """
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        sys.unraisablehook = before


def command_to_go_on(argv: Sequence[str], *, experiment: str, world_size: int) -> str:
    """The command that resumes a run, made from the words of its command line.

    ``--lr 1 --resume a.tar``, experiment e -> ``python train_image.py --lr 1 --experiment e --resume auto``.
    """
    torchrun = ["torchrun", "--nproc-per-node", str(world_size), "train_image.py"]
    words = [*_without(argv, ("--resume", "--experiment")), "--experiment", experiment, "--resume", "auto"]
    return shlex.join([*(shown_command("train") if world_size == 1 else torchrun), *words])


def _without(argv: Sequence[str], flags: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for word in argv:
        if skip:
            skip = False
        elif word in flags:
            skip = True
        elif not word.startswith(tuple(f"{flag}=" for flag in flags)):
            kept.append(word)
    return kept

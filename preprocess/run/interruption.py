"""Handle Ctrl-C and SIGTERM: the first signal ends the run cleanly, and further signals do not disturb that."""

import contextlib
import signal
import threading
from collections.abc import Iterator

TO_GO_ON = "finished shards are kept. To go on"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupted_once(*, is_whole_program: bool) -> Iterator[None]:
    """Raise KeyboardInterrupt at the first signal, and ignore later ones.

    A signal that was ignored when the program started stays ignored, as a shell does for background jobs. With
    ``is_whole_program``, an interrupted program ignores the signals until it ends. Otherwise the previous handlers
    are restored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]
    interruptions = 0

    def interrupt(number: int, frame: object) -> None:
        nonlocal interruptions
        interruptions += 1
        if interruptions == 1:
            raise KeyboardInterrupt

    for number in heeded:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        if not (is_whole_program and interruptions):
            for number in heeded:
                signal.signal(number, before[number])

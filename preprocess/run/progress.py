"""Show the progress of a conversion: a bar on a terminal, lines in a log file, JSON for a program.

The history for the report is written too. All times come from a monotonic clock.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from preprocess.worker.statistics import STATISTICS_DIR
from shards.page.formats import clock

HISTORY_NAME = "progress.jsonl"
_SECONDS_BEFORE_WAITING_IS_SHOWN = 5.0
_SECONDS_BETWEEN = {"lines": 30.0, "json": 1.0, "history": 10.0}


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The state of a conversion at one moment.

    ``videos`` of ``total`` are finished; ``failures`` of them were skipped, and ``earlier`` of them were finished by
    earlier runs. ``seconds`` is the time with at least one batch at work, and ``waited_seconds`` the time with none.
    ``waiting`` says what the run is waiting for now.
    """

    videos: int
    total: int
    failures: int
    earlier: int
    seconds: float
    waited_seconds: float = 0.0
    waiting: str | None = None

    @property
    def videos_per_second(self) -> float:
        """The rate of this run only, without the time it waited."""
        return (self.videos - self.earlier) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        rate = self.videos_per_second
        return (self.total - self.videos) / rate if rate else None


class Sink(Protocol):
    """Displays or stores snapshots."""

    def show(self, snapshot: Snapshot, *, last: bool) -> None: ...


class Progress:
    """Counts videos for each batch, so that a batch that is tried again is counted once, and passes snapshots to
    sinks.
    """

    def __init__(self, *, total: int, sinks: Sequence[Sink], clock: Callable[[], float] = time.monotonic):
        self._total = total
        self._sinks = sinks
        self._counts: dict[object, tuple[int, int]] = {}
        self._earlier = 0
        self._clock = clock
        self._began = clock()
        self._waited = 0.0  # without the current wait
        self._waits_since: float | None = self._began  # until a worker has started

    def found(self, batch: object, *, videos: int, failures: int) -> None:
        """Count a batch that an earlier run has finished."""
        self._counts[batch] = videos, failures
        self._earlier += videos

    def reached(self, batch: object, *, videos: int, failures: int) -> None:
        """Count the videos that a batch of this run has finished."""
        self.works()
        self._counts[batch] = videos, failures
        self._show(last=False)

    def waits(self, free: int, cores: int) -> None:
        """Note that no batch is at work while ``free`` of ``cores`` cores are idle. A long wait is shown."""
        if self._waits_since is None:
            self._waits_since = self._clock()
        if self._clock() - self._waits_since >= _SECONDS_BEFORE_WAITING_IS_SHOWN:
            self._show(last=False, waiting=waiting_for(free, cores))

    def works(self) -> None:
        """Note that a batch is at work."""
        if self._waits_since is not None:
            self._waited += self._clock() - self._waits_since
            self._waits_since = None

    def finish(self) -> None:
        self._show(last=True)

    def _show(self, *, last: bool, waiting: str | None = None) -> None:
        now = self._clock()
        waited = self._waited + (now - self._waits_since if self._waits_since is not None else 0.0)
        snapshot = Snapshot(
            videos=sum(videos for videos, _ in self._counts.values()),
            total=self._total,
            failures=sum(failures for _, failures in self._counts.values()),
            earlier=self._earlier,
            seconds=now - self._began - waited,
            waited_seconds=waited,
            waiting=waiting,
        )
        for sink in self._sinks:
            sink.show(snapshot, last=last)


def waiting_for(free: int, cores: int) -> str:
    """``waiting for a free core (0 of 2)``. If a core is free, the run is waiting for a worker process to start."""
    if free:
        return f"waiting for workers to start ({free} of {cores} cores free)"
    return f"waiting for a free core (0 of {cores})"


def sinks_for(kind: str, output: Path) -> list[Sink]:
    """The sinks for ``--progress KIND``, and the history for the report."""
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    shown = {"bar": Bar, "lines": Lines, "json": JsonLines}.get(kind)
    return [*([shown()] if shown else []), History(output / STATISTICS_DIR / HISTORY_NAME)]


class Bar:
    """One line on a terminal that is redrawn."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if self._bar is None:
            # initial: the videos of earlier runs do not count in the rate of this one.
            self._bar = tqdm(total=snapshot.total, initial=snapshot.earlier, unit="video", file=sys.stderr)
        self._bar.set_description(snapshot.waiting, refresh=False)
        self._bar.set_postfix(failures=snapshot.failures, refresh=False)
        self._bar.update(snapshot.videos - self._bar.n)
        if last:
            self._bar.close()


class _RateLimiter:
    """Allows one snapshot in ``seconds``. The last one, and the first of a wait or after it, are always allowed."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._shown_at: float | None = None
        self._was_waiting = False

    def is_due(self, snapshot: Snapshot, *, last: bool) -> bool:
        now, is_waiting = snapshot.seconds + snapshot.waited_seconds, snapshot.waiting is not None
        due = last or self._shown_at is None or now - self._shown_at >= self._seconds or is_waiting != self._was_waiting
        if due:
            self._shown_at, self._was_waiting = now, is_waiting
        return due


class Lines:
    """Prints a plain line at intervals."""

    def __init__(self) -> None:
        self._limiter = _RateLimiter(_SECONDS_BETWEEN["lines"])

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if self._limiter.is_due(snapshot, last=last):
            print(line_of(snapshot), file=sys.stderr, flush=True)


def line_of(snapshot: Snapshot) -> str:
    """``410 of 1000 videos (41.0 %), 12.3 videos/s, 2 failed, 0:00:48 left``, or what the run is waiting for."""
    share = 100 * snapshot.videos / max(snapshot.total, 1)
    done = f"{snapshot.videos} of {snapshot.total} videos ({share:.1f} %)"
    if snapshot.waiting:
        return f"{done}, {snapshot.waiting}"
    left = snapshot.seconds_left
    return f"{done}, {snapshot.videos_per_second:.1f} videos/s, {snapshot.failures} failed, " + (
        f"{clock(left)} left" if left is not None else "time left unknown"
    )


class JsonLines:
    """Writes one JSON object a line to standard error: ``{"event": "progress", ...}``. See also ``emit_event``."""

    def __init__(self) -> None:
        self._limiter = _RateLimiter(_SECONDS_BETWEEN["json"])

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if self._limiter.is_due(snapshot, last=last):
            emit_event("progress", **_rounded(snapshot))


def emit_event(event: str, **values: object) -> None:
    """Write one event for a program that reads ``--progress json``."""
    print(json.dumps({"event": event, **values}), file=sys.stderr, flush=True)


def _rounded(snapshot: Snapshot) -> dict:
    left = snapshot.seconds_left
    return {
        **asdict(snapshot),
        "seconds": round(snapshot.seconds, 1),
        "waited_seconds": round(snapshot.waited_seconds, 1),
        "videos_per_second": round(snapshot.videos_per_second, 3),
        "seconds_left": None if left is None else round(left, 1),
    }


class History:
    """Appends snapshots of every run to ``progress.jsonl``. The report draws its curve from it."""

    def __init__(self, path: Path):
        self._path = path
        self._limiter = _RateLimiter(_SECONDS_BETWEEN["history"])
        self._is_first = True

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if not self._limiter.is_due(snapshot, last=last):
            return
        if self._path.parent.is_dir():  # other code reports an output that was removed
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"begins": self._is_first, **_rounded(snapshot)}) + "\n")
            self._is_first = False


def read_history(output: Path) -> Iterator[dict]:
    """The entries of the history. An unfinished line of a killed run is skipped."""
    path = output / STATISTICS_DIR / HISTORY_NAME
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("{") and line.endswith("}"):
            yield json.loads(line)

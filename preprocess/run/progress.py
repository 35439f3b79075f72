"""How far a conversion is: a bar on a terminal, lines in a log file, JSON for a program, a history for the report.

All of it is measured with a clock that is never set back.
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
    """``videos`` of ``total`` are done, ``failures`` of them left out; ``earlier`` of them by earlier runs.

    ``seconds`` of work, and ``waited_seconds`` in which no batch was at work. ``waiting``: for what the run waits now.
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
        """Of this run alone, while it is at work."""
        return (self.videos - self.earlier) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        rate = self.videos_per_second
        return (self.total - self.videos) / rate if rate else None


class Sink(Protocol):
    """Where snapshots go."""

    def show(self, snapshot: Snapshot, *, last: bool) -> None: ...


class Progress:
    """Counts videos by batch, so that a batch that is tried again is not counted twice, and tells its sinks."""

    def __init__(self, *, total: int, sinks: Sequence[Sink], clock: Callable[[], float] = time.monotonic):
        self._total = total
        self._sinks = sinks
        self._counts: dict[object, tuple[int, int]] = {}
        self._earlier = 0
        self._clock = clock
        self._began = clock()
        self._waited = 0.0  # before the wait that goes on now
        self._waits_since: float | None = self._began  # until a worker has started

    def found(self, batch: object, *, videos: int, failures: int) -> None:
        """A batch that an earlier run has finished."""
        self._counts[batch] = videos, failures
        self._earlier += videos

    def reached(self, batch: object, *, videos: int, failures: int) -> None:
        """A batch of this run has come this far."""
        self.works()
        self._counts[batch] = videos, failures
        self._show(last=False)

    def waits(self, free: int, cores: int) -> None:
        """No batch is at work, and ``free`` of the cluster's ``cores`` are; shown when that lasts."""
        if self._waits_since is None:
            self._waits_since = self._clock()
        if self._clock() - self._waits_since >= _SECONDS_BEFORE_WAITING_IS_SHOWN:
            self._show(last=False, waiting=waiting_for(free, cores))

    def works(self) -> None:
        """A batch is at work."""
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
    """``waiting for a free core (0 of 2)``; with a free one, what takes time is the start of a worker."""
    if free:
        return f"waiting for workers to start ({free} of {cores} cores free)"
    return f"waiting for a free core (0 of {cores})"


def sinks_for(kind: str, output: Path) -> list[Sink]:
    """The sinks of ``--progress KIND``, and the history that the report is drawn from."""
    if kind == "auto":
        kind = "bar" if sys.stderr.isatty() else "lines"
    shown = {"bar": Bar, "lines": Lines, "json": JsonLines}.get(kind)
    return [*([shown()] if shown else []), History(output / STATISTICS_DIR / HISTORY_NAME)]


class Bar:
    """One line on a terminal that is drawn over and over."""

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if self._bar is None:
            # initial: what an earlier run did is no part of this one's rate.
            self._bar = tqdm(total=snapshot.total, initial=snapshot.earlier, unit="video", file=sys.stderr)
        self._bar.set_description(snapshot.waiting, refresh=False)
        self._bar.set_postfix(failures=snapshot.failures, refresh=False)
        self._bar.update(snapshot.videos - self._bar.n)
        if last:
            self._bar.close()


class _RateLimiter:
    """At most one snapshot in ``seconds``; the last one always, and the first of a wait or after it."""

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
    """A plain line now and then."""

    def __init__(self) -> None:
        self._limiter = _RateLimiter(_SECONDS_BETWEEN["lines"])

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if self._limiter.is_due(snapshot, last=last):
            print(line_of(snapshot), file=sys.stderr, flush=True)


def line_of(snapshot: Snapshot) -> str:
    """``410 of 1000 videos (41.0 %), 12.3 videos/s, 2 failed, 0:00:48 left``, or for what the run waits."""
    share = 100 * snapshot.videos / max(snapshot.total, 1)
    done = f"{snapshot.videos} of {snapshot.total} videos ({share:.1f} %)"
    if snapshot.waiting:
        return f"{done}, {snapshot.waiting}"
    left = snapshot.seconds_left
    return f"{done}, {snapshot.videos_per_second:.1f} videos/s, {snapshot.failures} failed, " + (
        f"{clock(left)} left" if left is not None else "time left unknown"
    )


class JsonLines:
    """A JSON object a line on standard error, ``{"event": "progress", ...}``; ``emit_event`` writes other events."""

    def __init__(self) -> None:
        self._limiter = _RateLimiter(_SECONDS_BETWEEN["json"])

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if self._limiter.is_due(snapshot, last=last):
            emit_event("progress", **_rounded(snapshot))


def emit_event(event: str, **values: object) -> None:
    """One event for the program that reads ``--progress json``."""
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
    """Appends to ``progress.jsonl``, run after run: the report's curve of videos over working hours."""

    def __init__(self, path: Path):
        self._path = path
        self._limiter = _RateLimiter(_SECONDS_BETWEEN["history"])
        self._is_first = True

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        if not self._limiter.is_due(snapshot, last=last):
            return
        if self._path.parent.is_dir():  # an output that was removed is told of by those who need it
            with open(self._path, "a") as file:
                file.write(json.dumps({"begins": self._is_first, **_rounded(snapshot)}) + "\n")
            self._is_first = False


def read_history(output: Path) -> Iterator[dict]:
    """The lines of the history; one that a killed run left unfinished is passed over."""
    path = output / STATISTICS_DIR / HISTORY_NAME
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        if line.startswith("{") and line.endswith("}"):
            yield json.loads(line)

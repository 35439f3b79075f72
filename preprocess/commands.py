"""The commands of ``python -m preprocess``. Each takes the flags, prints results and returns an exit status."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from preprocess.annotations import FORMATS
from preprocess.config.presets import PRESETS
from preprocess.config.schema import Config, load_config
from preprocess.flags import DEFAULT_CONFIG, workers_of
from preprocess.report.dry_run import describe, describe_cost
from preprocess.report.estimate import estimate
from preprocess.report.inspect import inspect_video
from preprocess.report.like_one import prepared_like
from preprocess.report.page import write_report
from preprocess.report.training_advice import Readers, command_of_ours, splits_to_train_on
from preprocess.run.pipeline import Prepared, Summary, convert_dataset, prepare
from preprocess.run.progress import emit_event
from preprocess.run.ray_pool import Workers
from preprocess.run.rebuild import rebuild as rebuild_shards
from preprocess.worker.messages import num_broken
from shards.configurations import find_configuration, purpose_of, shipped_configurations
from shards.cores import available_cores
from shards.program import shown_command
from shards.storage import local_path

_FAILURES_SHOWN = 20


def list_known(args: argparse.Namespace) -> int:
    print("annotation formats (annotations.format):")
    for name, reader in FORMATS.items():
        print(f"  {name:24}{reader.summary}")
    print("layout presets (layouts):")
    for name, preset in PRESETS.items():
        print(f"  {name:24}{preset.summary}")
    for kind, command in (("preprocess", "preprocess"), ("train", "train"), ("eval", "eval")):
        print(f"configurations of {shlex.join(shown_command(command))} (--config NAME):")
        for name, path in shipped_configurations(kind).items():
            print(f"  {name:32}{purpose_of(path)}")
    _show_next([*shown_command("preprocess"), "--config", "NAME", "--source", "DIR", "--output", "DIR", "--dry-run"])
    return 0


def inspect_one(args: argparse.Namespace) -> int:
    config = _load_config(args)
    for note in config.notes:
        print(f"note: {note}", file=sys.stderr)
    source = local_path(args.source) if args.source else None
    for line in inspect_video(config, local_path(args.inspect), local_path(args.output or "inspect"), source=source):
        print(line)
    chosen = ["--config", args.config] if args.config else []
    rest = ["--source", args.source or "DIR", "--output", "DIR", "--dry-run"]
    _show_next([*shown_command("preprocess"), *chosen, *rest])
    return 0


def convert(args: argparse.Namespace) -> int:
    workers = Workers(**workers_of(args))
    prepared = _prepare(args)
    summary = convert_dataset(
        prepared, workers=workers, progress=args.progress, retry_failed=args.retry_failed, again=args.again
    )
    page = _try_to_write_report(prepared)
    _print_failures(summary)
    if args.progress == "json":
        emit_event("end", complete=summary.complete, videos=summary.num_videos, reasons=dict(summary.reasons()))
    if not summary.complete:
        print(f"{_not_complete(summary)}\nreport: {page}", file=sys.stderr)
        return 1
    converted = summary.num_videos - len(summary.failures)
    print(
        f"{converted} of {summary.num_videos + summary.missing} videos: {len(summary.failures)} failed, "
        f"{summary.missing} missing"
    )
    for layout in prepared.job.config.layouts:
        print(Path(args.output) / layout)
    print(f"report: {page}")
    if args.progress != "json":
        _show_training(prepared, args.output)
    return 0


def _try_to_write_report(prepared: Prepared) -> str:
    """The path of the report. If it cannot be written, print a warning: the shards are complete without it."""
    try:
        return str(write_report(prepared))
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        print(f"warning: the report could not be written ({reason}); the shards are complete", file=sys.stderr)
        return "none, see the warning"


def report(args: argparse.Namespace) -> int:
    prepared = _prepare(args)
    if not prepared.output.is_begun():
        raise ValueError(f"{args.output}: no conversion was started there; leave out --report to start it")
    print(write_report(prepared))
    return 0


def dry_run(args: argparse.Namespace) -> int:
    readers = Readers(ranks=args.train_ranks, workers=args.train_workers)
    if args.like is not None:
        return _estimate_like_one(args)
    prepared = _prepare(args)
    cost = estimate(prepared, num_samples=args.sample)
    if args.progress == "json":
        emit_event("estimate", **dataclasses.asdict(cost))
    for line in describe(prepared, cost, readers, shown_output=args.output):
        print(line)
    _show_next([*shown_command("preprocess"), *_without_dry_run(args.words)])
    return 0


def _estimate_like_one(args: argparse.Namespace) -> int:
    prepared = prepared_like(_load_config(args), local_path(args.like), args.videos)
    print(f"estimate for {args.videos} training videos of the same length and size as {args.like}:")
    for line in describe_cost(prepared, estimate(prepared, num_samples=1)):
        print(line)
    return 0


def _without_dry_run(words: Sequence[str]) -> list[str]:
    """The arguments of a command without ``--dry-run`` and its flags."""
    kept, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word in ("--sample", "--train-ranks", "--train-workers"):
            skip = True
        elif word != "--dry-run" and not word.startswith(("--sample=", "--train-ranks=", "--train-workers=")):
            kept.append(word)
    return kept


def _show_training(prepared: Prepared, output: str) -> None:
    splits = splits_to_train_on(prepared.job.config)
    if splits is not None:
        layout = next(iter(prepared.job.config.layouts.values()))
        readers = Readers(ranks=1, workers=available_cores())
        print(f"next: {command_of_ours(str(Path(output) / layout.name), layout, splits, readers)}", file=sys.stderr)


def _show_next(words: Sequence[str]) -> None:
    """Print the next command on standard error, since standard output is for results only."""
    print(f"next: {shlex.join(words)}", file=sys.stderr)


def rebuild(args: argparse.Namespace) -> int:
    workers = Workers(**workers_of(args))
    differing = 0
    results = sys.stdout  # run_on_ray redirects sys.stdout, since Ray prints there
    for name, differences in rebuild_shards(_prepare(args), args.rebuild, workers=workers):
        print(
            f"{name}: " + ("the same bytes; restored" if not differences else "different bytes; not replaced"),
            file=results,
        )
        for difference in differences:
            print(f"  {difference}", file=results)
        differing += bool(differences)
    if differing:
        print(
            "preprocess: the videos or the libraries have changed since the conversion; use --retry-failed for videos "
            "that were repaired, or convert the data set into another --output",
            file=sys.stderr,
        )
    return 1 if differing else 0


def _load_config(args: argparse.Namespace) -> Config:
    if args.config is None:
        print(
            f"no --config: {args.source or 'the video'} is read with the shipped configuration {DEFAULT_CONFIG!r}, "
            "one folder per class",
            file=sys.stderr,
        )
    return load_config(find_configuration(args.config or DEFAULT_CONFIG, "preprocess"), args.overrides)


def _prepare(args: argparse.Namespace) -> Prepared:
    return prepare(
        _load_config(args),
        source=local_path(args.source),
        output=local_path(args.output),
        videos_url=args.videos_url,
        require_complete=args.require_complete,
        show=lambda line: print(line, file=sys.stderr),
    )


def _print_failures(summary: Summary) -> None:
    for failure in summary.failures[:_FAILURES_SHOWN]:
        print(f"left out: {failure.path}: {failure.reason} ({failure.detail})", file=sys.stderr)
    for reason, count in summary.reasons().most_common():
        print(f"{count} videos left out: {reason}", file=sys.stderr)
    if summary.untrained:
        names = ", ".join(map(repr, summary.untrained[:_FAILURES_SHOWN]))
        more = len(summary.untrained) - _FAILURES_SHOWN
        print(
            f"{len(summary.untrained)} classes have no training video left after these failures, so no model learns "
            f"them: {names}{f', and {more} more' if more > 0 else ''}",
            file=sys.stderr,
        )


def _not_complete(summary: Summary) -> str:
    return (
        f"preprocess: not complete: {num_broken(summary.failures)} of {summary.num_videos} videos failed, and "
        f"max_failures allows {summary.allowed_failures}; read the reasons above, then repair the "
        "files and add --retry-failed, or allow more failures with --set max_failures=SHARE, and run the command again"
    )


COMMANDS = {
    "convert": convert,
    "list": list_known,
    "dry_run": dry_run,
    "inspect": inspect_one,
    "rebuild": rebuild,
    "report": report,
}

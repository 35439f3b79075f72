"""The flags of ``python -m preprocess``, and checks of their combinations."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from shards.cores import available_cores

DEFAULT_CONFIG = "folder"
PROGRESS_KINDS = ("auto", "bar", "lines", "json", "none")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):\d{1,5}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the flags, and add ``command``, a key of ``preprocess.commands.COMMANDS``.

    Exits with status 2 for unknown, missing or contradictory flags.
    """
    parser = _parser()
    args = parser.parse_args(arguments)
    given = [name for name in ("list", "inspect", "dry_run", "rebuild", "report") if getattr(args, name)]
    if len(given) > 1:
        parser.error(f"{' and '.join('--' + name.replace('_', '-') for name in given)} cannot be combined")
    args.command = given[0] if given else "convert"
    if (args.like is None) != (args.videos is None) or (args.like is not None and not args.dry_run):
        parser.error("--videos N and --like VIDEO must be given together, and with --dry-run")
    alone = args.command in ("list", "inspect") or args.like is not None
    needed = () if alone else ("source", "output")
    missing = [f"--{name}" for name in needed if getattr(args, name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} must be given")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m preprocess",
        usage="%(prog)s [--config NAME|FILE] --source DIR --output DIR [flags]",
        description="Convert a data set of videos into WebDataset shards of super images. Every video is decoded once.",
        allow_abbrev=False,
    )
    _add_data(parser.add_argument_group("data"))
    _add_running(parser.add_argument_group("workers and progress"))
    _add_instead(parser.add_argument_group("other commands (instead of a conversion)"))
    _add_estimate(parser.add_argument_group("flags of --dry-run"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config",
        metavar="NAME|FILE",
        help="configuration: a name that --list prints, or a YAML file; by default, --source must hold one folder per "
        f"class (configuration {DEFAULT_CONFIG!r})",
    )
    group.add_argument("--source", metavar="DIR", help="directory of the videos and the annotation files")
    group.add_argument("--output", metavar="DIR", help="output directory; each layout gets a subdirectory")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="override a value of the configuration, such as layouts.sifar-3x3.tile=192; may be repeated",
    )
    group.add_argument(
        "--videos-url",
        metavar="URL",
        help="download videos that are not in --source from URL/PATH, where PATH is the path relative to --source",
    )
    group.add_argument(
        "--require-complete",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="stop before the conversion if a listed video is missing",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of worker processes (default: all available cores, or all cores of the cluster)",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="address of a running Ray cluster to use, HOST:PORT; auto: the cluster that this machine belongs to",
    )
    group.add_argument(
        "--runtime-env", metavar="FILE", help="YAML file with a Ray runtime_env for the workers, such as pip: [...]"
    )
    group.add_argument(
        "--progress",
        choices=PROGRESS_KINDS,
        default="auto",
        help="how to show the progress; auto: a bar on a terminal, lines otherwise (default: %(default)s)",
    )
    group.add_argument(
        "--retry-failed",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="convert failed videos again, with all other videos of their shards",
    )


def _add_instead(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--list",
        action="store_true",
        help="print the annotation formats, layout presets and shipped configurations",
    )
    group.add_argument(
        "--inspect",
        metavar="VIDEO",
        help="write the super images of one video as PNG files, with frame numbers and crop boxes; with --source, the "
        "segments of the video are read from the lists",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="estimate time, memory and disk space, and print training commands; writes no files",
    )
    group.add_argument(
        "--rebuild",
        nargs="+",
        metavar="SHARD",
        help="convert the videos of the named shards again (train-000012: the shards of all views) and compare their "
        "SHA-256 with the records",
    )
    group.add_argument(
        "--report", action="store_true", help="write report.html for an output directory, also while a conversion runs"
    )


def _add_estimate(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--videos",
        type=int,
        metavar="N",
        help="with --dry-run --like: estimate N training videos without lists; --source and --output are not needed",
    )
    group.add_argument("--like", metavar="VIDEO", help="with --dry-run --videos: a typical video file")
    group.add_argument(
        "--sample",
        type=int,
        default=24,
        metavar="N",
        help="with --dry-run: number of videos to convert for the estimate (default: %(default)s)",
    )
    group.add_argument(
        "--train-ranks",
        type=int,
        default=8,
        metavar="N",
        help="number of GPUs in the printed training commands (default: %(default)s)",
    )
    group.add_argument(
        "--train-workers",
        type=int,
        default=4,
        metavar="N",
        help="number of loader workers per GPU in the printed training commands (default: %(default)s)",
    )


def workers_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of ``ray_pool.Workers``. ValueError for contradictory flags."""
    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers {args.workers}: must be at least 1")
    _refuse_address(args.ray_address)
    if args.runtime_env and not args.ray_address:
        raise ValueError(
            "--runtime-env needs --ray-address: without a cluster, the workers have the environment of this command"
        )
    count = args.workers if args.workers or args.ray_address else available_cores()
    return {"count": count, "address": args.ray_address, "runtime_env": _runtime_env(args.runtime_env)}


def _refuse_address(address: str | None) -> None:
    """ValueError for an address that Ray would not understand as the address of a running cluster."""
    shown = f"--ray-address {address}"
    if address == "auto" and os.environ.get("RAY_ADDRESS"):  # then Ray uses the variable
        address = os.environ["RAY_ADDRESS"]
        shown = f"RAY_ADDRESS={address}"
    if address is None:
        _refuse_local_in_a_job()
    elif address.startswith("ray://"):
        raise ValueError(
            f"{shown}: Ray's client cannot stream results; start the command on a node of the cluster with "
            "--ray-address auto and without RAY_ADDRESS, or give the address of the head, --ray-address HOST:6379"
        )
    elif address == "local":
        raise ValueError(f"{shown}: is not a cluster; leave out --ray-address to convert on this machine alone")
    elif address != "auto" and not _HOST_AND_PORT.fullmatch(address):
        raise ValueError(
            f"{shown}: must be auto or the HOST:PORT of the cluster's head, such as --ray-address 10.0.0.1:6379"
        )


def _refuse_local_in_a_job() -> None:
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        raise ValueError(
            "'ray job submit' started this command, and without --ray-address it would start a second Ray beside the "
            "cluster; add --ray-address auto to run the conversion on the cluster"
        )


def _runtime_env(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must contain the keys of a Ray runtime_env, such as pip: [av, numpy]")
    return values

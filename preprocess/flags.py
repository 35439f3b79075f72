"""The flags of ``python -m preprocess``, and what they mean together."""

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
    """The flags, and ``command``, a key of ``preprocess.commands.COMMANDS``.

    Exits with status 2 for flags that are unknown, missing or contradict each other.
    """
    parser = _parser()
    args = parser.parse_args(arguments)
    given = [name for name in ("list", "inspect", "dry_run", "rebuild", "report") if getattr(args, name)]
    if len(given) > 1:
        parser.error(f"{' and '.join('--' + name.replace('_', '-') for name in given)} cannot be combined")
    args.command = given[0] if given else "convert"
    if (args.like is None) != (args.videos is None) or (args.like is not None and not args.dry_run):
        parser.error("--videos N and --like VIDEO belong together, and to --dry-run")
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
    _add_instead(parser.add_argument_group("other commands, instead of the conversion"))
    _add_estimate(parser.add_argument_group("flags of --dry-run"))
    return parser


def _add_data(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--config",
        metavar="NAME|FILE",
        help="the configuration: the name of one that --list shows, or a YAML file; without it, --source is read as "
        f"folders of classes (configuration {DEFAULT_CONFIG!r})",
    )
    group.add_argument("--source", metavar="DIR", help="directory of the videos and of their annotation files")
    group.add_argument("--output", metavar="DIR", help="directory for the shards; each layout gets a directory in it")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="override a value of the configuration, such as layouts.sifar-3x3.tile=192; can be given several times",
    )
    group.add_argument(
        "--videos-url",
        metavar="URL",
        help="download videos that are not in --source from URL/PATH, where PATH is the path below --source",
    )
    group.add_argument(
        "--require-complete",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="refuse to start if a listed video is missing",
    )


def _add_running(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of worker processes (default: all cores that this process may use, or all cores of the cluster)",
    )
    group.add_argument(
        "--ray-address",
        metavar="ADDRESS",
        help="run on the Ray cluster at this address; auto: the cluster that this machine belongs to",
    )
    group.add_argument(
        "--runtime-env", metavar="FILE", help="YAML file of a Ray runtime_env for the workers, such as pip: [...]"
    )
    group.add_argument(
        "--progress",
        choices=PROGRESS_KINDS,
        default="auto",
        help="how progress is shown; auto: a bar on a terminal, lines otherwise (default: %(default)s)",
    )
    group.add_argument(
        "--retry-failed",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="try failed videos again, which makes their shards anew",
    )


def _add_instead(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--list",
        action="store_true",
        help="print the annotation formats, the layout presets and the configurations",
    )
    group.add_argument(
        "--inspect",
        metavar="VIDEO",
        help="write the super images of one video as PNG files, with frame numbers and crop boxes; with --source, "
        "those of the video's segments in the lists",
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="estimate time, memory and disk, and print commands for training; writes nothing",
    )
    group.add_argument(
        "--rebuild",
        nargs="+",
        metavar="SHARD",
        help="make shards such as train-000012 again, and compare their SHA-256 with those in the records",
    )
    group.add_argument(
        "--report", action="store_true", help="write report.html for what is there, also while a conversion runs"
    )


def _add_estimate(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--videos",
        type=int,
        metavar="N",
        help="with --like: estimate N training videos without their lists; needs neither --source nor --output",
    )
    group.add_argument("--like", metavar="VIDEO", help="the video file that stands for all of --videos")
    group.add_argument(
        "--sample", type=int, default=24, metavar="N", help="number of videos to convert (default: %(default)s)"
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
        help="number of loader workers of each GPU in the printed training commands (default: %(default)s)",
    )


def workers_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of ``ray_pool.Workers``; ValueError for flags that contradict each other."""
    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers {args.workers}: must be at least 1")
    _refuse_address(args.ray_address)
    if args.runtime_env and not args.ray_address:
        raise ValueError(
            "--runtime-env means nothing without --ray-address: workers on this machine run as this command"
        )
    count = args.workers if args.workers or args.ray_address else available_cores()
    return {"count": count, "address": args.ray_address, "runtime_env": _runtime_env(args.runtime_env)}


def _refuse_address(address: str | None) -> None:
    """ValueError for an address that Ray would take for something else than a cluster that is running."""
    shown = f"--ray-address {address}"
    if address == "auto" and os.environ.get("RAY_ADDRESS"):  # which Ray reads in that case
        address = os.environ["RAY_ADDRESS"]
        shown = f"RAY_ADDRESS={address}"
    if address is None:
        _refuse_local_in_a_job()
    elif address.startswith("ray://"):
        raise ValueError(
            f"{shown}: Ray's client does not carry streams of results; start the command on a machine of the cluster "
            "with --ray-address auto and without RAY_ADDRESS, or give the address of its head, --ray-address HOST:6379"
        )
    elif address == "local":
        raise ValueError(f"{shown}: is no cluster; leave --ray-address out to convert on this machine alone")
    elif address != "auto" and not _HOST_AND_PORT.fullmatch(address):
        raise ValueError(
            f"{shown}: must be auto or the HOST:PORT of the cluster's head, such as --ray-address 10.0.0.1:6379"
        )


def _refuse_local_in_a_job() -> None:
    if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ:
        raise ValueError(
            "'ray job submit' started this command, so a second Ray would start beside the cluster; add "
            "--ray-address auto, which runs the conversion on the cluster"
        )


def _runtime_env(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must hold the keys of a Ray runtime_env, such as pip: [av, numpy]")
    return values

"""The flags of ``python -m preprocess``, and what they mean together."""

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from preprocess.cores import available_cores

PROGRESS_KINDS = ("auto", "bar", "lines", "json", "none")
_HOST_AND_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):\d{1,5}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags, and ``command``, a key of ``preprocess.commands.COMMANDS``. Flags that clash end the program."""
    parser = _parser()
    args = parser.parse_args(arguments)
    given = [name for name in ("list", "inspect", "dry_run", "rebuild", "report") if getattr(args, name)]
    if len(given) > 1:
        parser.error(f"{' and '.join('--' + name.replace('_', '-') for name in given)} do not go together")
    args.command = given[0] if given else "convert"
    needed = {"list": (), "inspect": ("config",)}.get(args.command, ("config", "source", "output"))
    missing = [f"--{name}" for name in needed if getattr(args, name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} must be given")
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m preprocess", description="Convert a data set of videos into super-image shards, once."
    )
    parser.add_argument("--config", metavar="FILE", help="YAML, such as those in configs/preprocess/")
    parser.add_argument("--source", metavar="DIR", help="where the videos and their lists are")
    parser.add_argument("--output", metavar="DIR", help="gets one shard directory for each layout")
    parser.add_argument(
        "--videos-url",
        metavar="URL",
        help="fetch videos that are not below --source from here: URL/PATH, with PATH as it would be below --source",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="override a value of the config, such as layouts.sifar-3x3.tile=192",
    )
    parser.add_argument(
        "--require-complete", action="store_true", help="refuse to begin while a listed video is missing"
    )
    _add_running(parser)
    _add_instead(parser)
    return parser


def _add_running(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where it runs, and what it tells")
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="number of worker processes (default: all cores that this process may use, or all of the cluster)",
    )
    group.add_argument(
        "--ray-address", metavar="ADDRESS", help="join this Ray cluster (auto: the one this machine is in)"
    )
    group.add_argument(
        "--runtime-env", metavar="FILE", help="YAML of a Ray runtime_env for the workers, such as pip: [...]"
    )
    group.add_argument(
        "--progress", choices=PROGRESS_KINDS, default="auto", help="auto: a bar on a terminal, else lines"
    )
    group.add_argument("--retry-failed", action="store_true", help="try failed videos again; makes their shards anew")


def _add_instead(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("instead of converting")
    group.add_argument("--list", action="store_true", help="print the data sets and the presets, a line each")
    group.add_argument(
        "--inspect",
        metavar="VIDEO",
        help="write one video's super images as PNG, with frame numbers and crop boxes; with --source, those of its "
        "segments in the lists",
    )
    group.add_argument(
        "--dry-run", action="store_true", help="estimate the work and print how to train; writes nothing"
    )
    group.add_argument("--sample", type=int, default=24, metavar="N", help="videos that it converts (%(default)s)")
    group.add_argument(
        "--train-ranks", type=int, default=8, metavar="N", help="GPUs that --dry-run plans a training on (%(default)s)"
    )
    group.add_argument(
        "--train-workers", type=int, default=4, metavar="N", help="its loader workers on each (%(default)s)"
    )
    group.add_argument(
        "--rebuild", nargs="+", metavar="SHARD", help="make shards such as train-000012 again and compare their hashes"
    )
    group.add_argument("--report", action="store_true", help="write report.html of what is there, also while it runs")


def workers_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of ``cluster.Workers``; ValueError for flags that cannot be met."""
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
        values = yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must hold the keys of a Ray runtime_env, such as pip: [av, numpy]")
    return values

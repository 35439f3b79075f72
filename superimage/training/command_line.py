"""A command line out of a table of flags, and YAML files of the same flags."""

import argparse
import difflib
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Flag:
    """One option: its names (the last is the long one), type, default, help, and what else argparse is told."""

    names: str
    type: type
    default: Any
    help: str
    extra: dict | None = None

    @property
    def dest(self) -> str:
        return self.names.split()[-1].removeprefix("--").replace("-", "_")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise ValueError(message)


class _Switch(argparse.Action):
    """A flag that is on or off: ``--amp``, ``--amp=true``, and off again by ``--no-amp`` or ``--amp=false``."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs):
        self.negative = negative(option_strings[-1])
        super().__init__([*option_strings, self.negative], dest, nargs="?", **kwargs)

    def __call__(self, parser, namespace, values, option_string=None):
        given = {None: True, "true": True, "false": False}.get(values.lower() if values else None)
        if given is None or (values is not None and option_string == self.negative):
            raise argparse.ArgumentError(self, f"{values!r} is no value: give the flag alone, or =true or =false")
        setattr(namespace, self.dest, given is not (option_string == self.negative))


class _Off(argparse.Action):
    """``--no-torchcompile``: as if the flag, which needs no value, had not been given."""

    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, self.const)


def negative(option: str) -> str:
    """The option that takes another back: ``--amp -> --no-amp``, ``--no-aug -> --aug``."""
    return f"--{option.removeprefix('--no-')}" if option.startswith("--no-") else f"--no-{option.removeprefix('--')}"


def parse_flags(flags: Sequence[Flag], argv: Sequence[str] | None, *, prog: str) -> tuple[argparse.Namespace, set]:
    """(values of all flags, the names of those that were given): on the command line or, before it, in ``--config``.

    ``--config demo.yaml --lr 0.1`` with ``lr: 0.2`` in the file -> lr 0.1. ValueError for an unknown flag or key.
    """
    parser = _Parser(prog=prog, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("-c", "--config", metavar="FILE", help="YAML file of flags; those on the command line win")
    for flag in flags:
        _add(parser, flag)
    argv = sys.argv[1:] if argv is None else list(argv)
    given, unknown = parser.parse_known_args(argv)
    if "config" in given:
        given, unknown = parser.parse_known_args(_config_tokens(Path(given.config), flags) + argv)
    if unknown:
        raise ValueError(
            f"unknown argument {unknown[0]}{close_names(unknown[0], [f.names.split()[-1] for f in flags])}"
        )
    explicit = {name: value for name, value in vars(given).items() if name != "config"}
    return argparse.Namespace(**{**{flag.dest: flag.default for flag in flags}, **explicit}), set(explicit)


def _add(parser: argparse.ArgumentParser, flag: Flag) -> None:
    kind = {"action": _Switch, "metavar": "true|false"} if flag.type is bool else {"type": flag.type}
    shown = "" if flag.default in (None, "", {}) or flag.type is bool else f" (default: {flag.default})"
    options = {
        **kind,
        **(flag.extra or {}),
        "dest": flag.dest,
        "default": argparse.SUPPRESS,
        "help": flag.help.replace("%", "%%") + shown,
    }
    parser.add_argument(*flag.names.split(), **options)
    if (flag.extra or {}).get("nargs") == "?":
        told = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        option = negative(flag.names.split()[-1])
        parser.add_argument(option, action=_Off, nargs=0, dest=flag.dest, const=flag.default, **told)


def close_names(name: str, names: Collection[str]) -> str:
    """The end of a message: ``("lrr", ["lr"]) -> "; did you mean lr?"``, or nothing."""
    matches = difflib.get_close_matches(name, names)
    return f"; did you mean {' or '.join(matches)}?" if matches else ""


def _config_tokens(path: Path, flags: Sequence[Flag]) -> list[str]:
    """A YAML mapping as command line words: ``{amp: true, scale: [1, 1]}`` -> ``--amp --scale 1 1``."""
    try:
        config = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: a mapping of flags to values is needed, as in 'lr: 0.1'")
    by_dest = {flag.dest: flag for flag in flags}
    tokens = []
    for key, value in config.items():
        dest = str(key).replace("-", "_")
        if dest not in by_dest:
            raise ValueError(f"{path}: {key} is no flag{close_names(dest, by_dest)}")
        tokens += _tokens(by_dest[dest], value, f"{path}: {key}: {value}")
    return tokens


def _tokens(flag: Flag, value: Any, where: str) -> list[str]:
    option, nargs = flag.names.split()[-1], (flag.extra or {}).get("nargs")
    if value is None and flag.default is None:
        return []
    if isinstance(value, bool) and (flag.type is bool or nargs == "?"):
        return [option if value else negative(option)]
    if isinstance(value, dict) and nargs == "*":
        return [option, *(f"{key}={item!r}" for key, item in value.items())]
    if isinstance(value, list) and nargs not in (None, "?", "*"):
        return [option, *map(str, value)]
    if value is None or isinstance(value, bool | dict | list) or flag.type is bool:
        raise ValueError(f"{where} is no value for {option}")
    return [f"{option}={value}"]


def one_line(error: Exception) -> str:
    """Its message; of an error from a loader worker, which carries its traceback as text, the last line's."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return re.sub(r"^[\w.]+(Error|Exception): ", "", lines[-1])

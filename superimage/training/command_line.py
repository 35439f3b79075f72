"""Parses the command line from a table of flags. YAML files can set the same flags."""

import argparse
import ast
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from shards.configurations import find_configuration
from shards.suggestions import did_you_mean

_METAVARS = {int: "N", float: "X", str: "VALUE"}


@dataclass(frozen=True)
class Flag:
    """One option. ``names``: short and long name, the long one last. ``extra``: more arguments of argparse."""

    names: str
    type: type
    default: Any
    help: str
    extra: dict | None = None

    @property
    def dest(self) -> str:
        return self.names.split()[-1].removeprefix("--").replace("-", "_")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


class _Switch(argparse.Action):
    """A boolean flag: ``--amp`` or ``--amp=true`` turns it on, ``--no-amp`` or ``--amp=false`` turns it off."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any):
        self.negative = negative(option_strings[-1])
        super().__init__([*option_strings, self.negative], dest, nargs="?", **kwargs)

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        given = {None: True, "true": True, "false": False}.get(values.lower() if values else None)
        if given is None or (values is not None and option_string == self.negative):
            raise argparse.ArgumentError(self, f"{values!r} is not a valid value: give no value, =true or =false")
        setattr(namespace, self.dest, given is not (option_string == self.negative))


class _Off(argparse.Action):
    """The negative form of a flag with an optional value: ``--no-torchcompile`` restores the default."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, self.const)


class KeyValues(argparse.Action):
    """Parses ``KEY=VALUE ...`` to a dictionary. A value that is not a Python literal is a string."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        parsed = {}
        for word in values:
            key, separator, text = word.partition("=")
            if not (key and separator):
                raise argparse.ArgumentError(self, f"{word!r} must be KEY=VALUE, such as depth=12")
            try:
                parsed[key] = ast.literal_eval(text)
            except (ValueError, SyntaxError):
                parsed[key] = text
        setattr(namespace, self.dest, parsed)


def negative(option: str) -> str:
    """The negative form of an option: ``--amp -> --no-amp``, ``--no-aug -> --aug``."""
    return f"--{option.removeprefix('--no-')}" if option.startswith("--no-") else f"--no-{option.removeprefix('--')}"


def parse_flags(
    groups: Mapping[str, Sequence[Flag]],
    argv: Sequence[str] | None,
    *,
    prog: str,
    kind: str = "train",
    description: str = "",
) -> tuple[argparse.Namespace, set[str]]:
    """Parse the command line to (values of all flags, names of the flags that were given).

    ``groups`` maps the headings of ``--help`` to flags. Flags come from the command line and from the file of
    ``--config``, which is a path or the name of a shipped configuration of this ``kind``. The command line takes
    precedence: ``--config demo --lr 0.1`` with ``lr: 0.2`` in the file -> lr 0.1. Raises ValueError for an unknown
    flag, key or configuration.
    """
    flags = [flag for group in groups.values() for flag in group]
    parser = _parser(groups, prog=prog, kind=kind, description=description)
    argv = sys.argv[1:] if argv is None else list(argv)
    given, unknown = parser.parse_known_args(argv)
    if "config" in given:
        tokens = _config_tokens(find_configuration(given.config, kind), flags)
        given, unknown = parser.parse_known_args(tokens + argv)
    if unknown:
        options = [flag.names.split()[-1] for flag in flags]
        raise ValueError(f"unknown argument {unknown[0]}{did_you_mean(unknown[0], options, count=3, quoted=False)}")
    explicit = {name: value for name, value in vars(given).items() if name != "config"}
    return argparse.Namespace(**{**{flag.dest: flag.default for flag in flags}, **explicit}), set(explicit)


def parse_or_report(
    groups: Mapping[str, Sequence[Flag]], argv: Sequence[str], *, prog: str, kind: str, description: str
) -> tuple[argparse.Namespace, set[str]] | None:
    """Return the result of ``parse_flags``. On an error, print it in one line and return None."""
    try:
        return parse_flags(groups, argv, prog=prog, kind=kind, description=description)
    except (ValueError, OSError) as error:
        print(f"{prog}: {one_line(error)}", file=sys.stderr)
        return None


def _parser(groups: Mapping[str, Sequence[Flag]], *, prog: str, kind: str, description: str) -> _Parser:
    parser = _Parser(
        prog=prog,
        description=description,
        usage=f"{prog} [--config NAME|FILE] [flags]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument(
        "-c",
        "--config",
        metavar="NAME|FILE",
        help=f"YAML file of flags: a path, or the name of a configuration in configs/{kind}/; flags on the command "
        "line take precedence",
    )
    for title, flags in groups.items():
        group = parser.add_argument_group(title)
        for flag in flags:
            _add(group, flag)
    return parser


def _add(parser: argparse._ArgumentGroup, flag: Flag) -> None:
    is_switch, has_choices = flag.type is bool, "choices" in (flag.extra or {})
    kind = {"action": _Switch, "metavar": "true|false"} if is_switch else {"type": flag.type}
    if not is_switch and not has_choices:
        kind["metavar"] = _METAVARS[flag.type]
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
        hidden = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        option = negative(flag.names.split()[-1])
        parser.add_argument(option, action=_Off, nargs=0, dest=flag.dest, const=flag.default, **hidden)


def _config_tokens(path: Path, flags: Sequence[Flag]) -> list[str]:
    """A YAML file as words of a command line: ``{amp: true, scale: [1, 1]}`` -> ``--amp --scale 1 1``."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path}: must be a mapping of flags to values, such as 'lr: 0.1'")
    by_dest = {flag.dest: flag for flag in flags}
    tokens = []
    for key, value in config.items():
        dest = str(key).replace("-", "_")
        if dest not in by_dest:
            raise ValueError(f"{path}: {key} is not a flag{did_you_mean(dest, by_dest, count=3, quoted=False)}")
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
        raise ValueError(f"{where} is not a valid value for {option}")
    return [f"{option}={value}"]


def one_line(error: Exception) -> str:
    """The last line of an error message. The message of a loader worker's error contains a whole traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return re.sub(r"^[\w.]+(Error|Exception): ", "", lines[-1])

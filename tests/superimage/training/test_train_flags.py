"""The flags: the same as timm's, all in use, on the command line and in YAML."""

import ast
import inspect
import json
import textwrap

import pytest
import yaml
from golden.timm_train_flags import flags_of
from places import ROOT
from timm.data import resolve_data_config
from timm.optim import optimizer_kwargs
from timm.scheduler import scheduler_kwargs

from shards.cores import available_cores
from superimage.models.spec import ModelSpec
from superimage.training.command_line import one_line, parse_flags
from superimage.training.flags import FLAGS, GROUPS, check_values

GOLDEN = json.loads((ROOT / "tests/support/golden/timm_train_flags.json").read_text(encoding="utf-8"))
TIMM = {**GOLDEN["flags"], **GOLDEN["later"]}
OURS = {"--shuffle-size", "--allow-grid-breaking", "--log-tensorboard"}
OURS |= {"--window", "--extra-kernels", "--extra-depthwise"}
OURS |= {"--views", "--tile-order"}
DEFAULTS = {flag.dest: flag.default for flag in FLAGS}


def long_name(flag) -> str:
    return flag.names.split()[-1]


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if long_name(flag) not in OURS], ids=long_name)
def test_name_type_and_default_are_timms(flag):
    facts = TIMM[long_name(flag)]
    assert set(flag.names.split()) == set(facts["names"])
    assert flag.type.__name__ == facts["type"]
    assert (flag.extra or {}).get("nargs") == facts["nargs"]
    if long_name(flag) == "--device":
        assert flag.default is None  # timm's default "cuda" fails without a CUDA device
    elif long_name(flag) == "--workers":
        assert flag.default == min(facts["default"], available_cores())  # torch warns of more workers than cores
    else:
        assert flag.default == facts["default"]


def test_our_own_flags_are_none_of_timms():
    assert {long_name(flag) for flag in FLAGS} & OURS == OURS
    assert not OURS & TIMM.keys()


def test_the_script_that_made_the_golden_list():
    found = flags_of(
        "p.add_argument('-j', '--workers', type=int, default=4)\np.add_argument('--x', action='store_true')"
    )
    assert found["--workers"] == {"type": "int", "default": 4, "nargs": None, "names": ["--workers", "-j"]}
    assert found["--x"] == {"type": "bool", "default": False, "nargs": None, "names": ["--x"]}


def names_read_from_args() -> set[str]:
    """Every ``args.NAME`` of the trainer's sources, and every name that ``ModelSpec`` and timm take from the flags."""
    sources = [ROOT / "train_image.py", *(ROOT / "superimage/training").glob("*.py")]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("args")}
    nodes = ast.walk(ast.parse(textwrap.dedent(inspect.getsource(ModelSpec.from_flags))))
    read |= {
        ast.literal_eval(node.args[0])
        for node in nodes
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "flags.get"
    }
    for function in (optimizer_kwargs, scheduler_kwargs, resolve_data_config):
        for node in ast.walk(ast.parse(inspect.getsource(function))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "cfg":
                read.add(node.attr)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "args.get"):
                read |= {each.value for each in node.args if isinstance(each, ast.Constant)}
    return read


def test_no_flag_is_accepted_and_ignored():
    assert DEFAULTS.keys() - names_read_from_args() == set()


def parse_yaml(tmp_path, config, *argv):
    path = tmp_path / "config.yaml"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config), encoding="utf-8")
    return parse_flags(GROUPS, ["--config", str(path), *argv], prog="test")


def test_without_arguments_all_is_default():
    args, explicit = parse_flags(GROUPS, [], prog="test")
    assert vars(args) == DEFAULTS
    assert explicit == set()


def test_yaml_then_command_line(tmp_path):
    config = "lr: 3e-3\nepochs: 7\namp: true\nscale: [1, 1]\nmodel-kwargs: {window_size: [7, 7], act: gelu}\nhflip: 0\n"
    args, explicit = parse_yaml(tmp_path, config, "--epochs", "9", "--mean", "0.5")
    assert (args.lr, args.epochs, args.amp, args.scale, args.hflip) == (3e-3, 9, True, [1.0, 1.0], 0.0)
    assert args.model_kwargs == {"window_size": [7, 7], "act": "gelu"}
    assert explicit == {"lr", "epochs", "amp", "scale", "model_kwargs", "hflip", "mean"}


def test_what_was_run_can_be_run_again(tmp_path):
    argv = ["--opt-betas", "0.9", "0.99", "--model-kwargs", "window_size=(7, 7)", "--dr", "0.2", "--torchcompile"]
    args, _ = parse_flags(GROUPS, argv, prog="test")
    again, _ = parse_yaml(tmp_path, yaml.safe_dump(vars(args)))
    assert vars(again) == {**vars(args), "model_kwargs": {"window_size": [7, 7]}}  # YAML has no tuples


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"learning_rate": 1}, "learning_rate is not a flag"),
        ({"epoch": 1}, "epoch is not a flag; did you mean epochs"),
        ({"lr": [1, 2]}, r"lr: \[1, 2\] is not a valid value for --lr"),
        ({"lr": "fast"}, "invalid float value"),
        ({"epochs": 1.5}, "invalid int value"),
        ({"amp": "yes"}, "amp: yes is not a valid value for --amp"),
        ({"model": True}, "model: True is not a valid value"),
        ({"epochs": None}, "epochs: None is not a valid value"),
        ({"input_size": 224}, "expected 3 arguments"),
        ({"amp_dtype": "float8"}, "invalid choice"),
        ("- a\n- b\n", "a mapping of flags to values"),
        ("a: [1\n", "not YAML"),
    ],
)
def test_a_bad_config_is_refused(tmp_path, config, message):
    with pytest.raises(ValueError, match=message):
        parse_yaml(tmp_path, config)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--lerning-rate", "1"], "unknown argument --lerning-rate"),
        (["--batchsize", "1"], "did you mean --batch-size"),
        (["--lr"], "expected one argument"),
        (["--batch", "4"], "unknown argument --batch"),  # no abbreviations: a new flag would change their meaning
        (["data"], "unknown argument data"),
    ],
)
def test_a_bad_command_line_is_refused(argv, message):
    with pytest.raises(ValueError, match=message):
        parse_flags(GROUPS, argv, prog="test")


@pytest.mark.parametrize(
    "argv", [["--batch-size", "0"], ["--workers", "-1"], ["--shuffle-size", "0"], ["--scale", "1"], ["--epochs", "0"]]
)
def test_impossible_numbers_are_refused(argv):
    args, _ = parse_flags(GROUPS, argv, prog="test")
    with pytest.raises(ValueError, match=argv[0]):
        check_values(args)


def test_an_error_of_a_loader_worker_is_told_in_one_line():
    text = (
        "Caught ShardError in DataLoader worker process 0.\nTraceback ...\n\nshards.read.ShardError: a.tar: damaged\n"
    )
    assert one_line(ValueError(text)) == "a.tar: damaged"
    assert one_line(ValueError("plain")) == "plain"

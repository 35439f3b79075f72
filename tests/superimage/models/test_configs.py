"""Every configuration of the papers' tables: hyper-parameters, model, and a training step."""

import math
import re

import pytest
import torch
import yaml
from places import ROOT
from timm.models import get_pretrained_cfg, is_model

from superimage.training.command_line import parse_flags
from superimage.training.flags import GROUPS, check_values
from superimage.training.model import build_loss, build_model, build_optimizer, build_schedule

CONFIGS = sorted((ROOT / "configs/train").glob("sifar_*.yaml")) + sorted(
    (ROOT / "configs/train").glob("flatten_*.yaml")
)
CLASSES = {"k400": 400, "ssv2": 174, "mit": 339, "jester": 27, "diving48": 48, "hmdb51": 51}
# SIFAR 4.1
SIFAR = {"opt": "adamw", "lr": 1e-4, "weight_decay": 0.05, "sched": "cosine", "epochs": 30, "warmup_epochs": 5}
SIFAR |= {"mixup": 0.8, "cutmix": 1.0, "drop_path": 0.1, "smoothing": 0.1}
# Flatten, Tables 5-7: batch size, learning rate, epochs, warm-up epochs
FLATTEN = {
    "k400_xxs_9f": (128, 5e-4, 110, 10),
    "k400_xxs_16f": (64, 5e-4, 110, 10),
    "k400_xxs_16f_nested": (64, 5e-4, 110, 10),
    "k400_xxs_16f_random": (64, 5e-4, 110, 10),
    "k400_s_9f": (64, 1e-4, 110, 10),
    "k400_s_16f": (24, 5e-5, 110, 10),
    "ssv2_s_16f": (24, 1e-4, 25, 5),
    "hmdb51_s_16f": (24, 1e-4, 70, 7),
    "k400_swinv2_t_16f": (24, 1e-4, 110, 10),
    "k400_r101_16f": (64, 2e-4, 110, 10),
}
# Rows of SIFAR Tables 3, 4, 5, 6a, 6b and 7 (nine networks on two data sets), and of Flatten Tables 1 to 4.
ROWS = {"sifar": 7 + 5 + 2 + 2 + 2 + 9 * 2, "flatten": len(FLATTEN)}


def read(path):
    """(flags, rows, columns, tile px, frames, classes); the shape comes from the heading of the configuration."""
    args, _ = parse_flags(GROUPS, ["--config", str(path), "--data-dir", "DIR"], prog="train_image")
    rows, columns, tile, frames = map(
        int, re.search(r"(\d+)x(\d+) tiles of (\d+) px, (\d+) frames", path.read_text(encoding="utf-8")).groups()
    )
    args.input_size, args.num_classes = [3, rows * tile, columns * tile], CLASSES[path.stem.split("_")[1]]
    return args, rows, columns, tile, frames


def unpretrained(args):
    args.pretrained = False
    return args


def test_every_row_of_the_tables_has_its_configuration():
    assert {paper: sum(path.name.startswith(paper) for path in CONFIGS) for paper in ROWS} == ROWS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_heading_names_row_command_and_shape(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert re.match(r"# (SIFAR|Flatten) Tables? \d.*: top-1 \d\d\.\d", lines[0])
    command = lines[2]
    assert f"train_image.py --config configs/train/{path.name} " in command
    assert f"--experiment {path.stem}" in command
    args, rows, columns, tile, frames = read(path)
    assert (rows - 1) * columns < frames <= rows * columns
    check_values(args)
    if args.model.startswith("sifar_swin"):
        assert f"_{rows}x{columns}_{tile}" in args.model
    needs_file = not get_pretrained_cfg(args.model).has_weights or path.stem.startswith("sifar_ssv2")
    assert ("--pretrained-path" in command) == needs_file


def recipe(path) -> dict:
    """The hyper-parameters in the paper's text and tables, by timm's names."""
    if path.stem.startswith("sifar"):
        return SIFAR | ({"epochs": 15} if "_mit_" in path.stem else {})
    batch_size, lr, epochs, warmup_epochs = FLATTEN[path.stem.removeprefix("flatten_")]
    return {"batch_size": batch_size, "lr": lr, "epochs": epochs, "warmup_epochs": warmup_epochs, "weight_decay": 0.05}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_run_has_the_rates_of_its_paper(path):
    """The learning rate rises to the paper's during warm-up, then falls by half a cosine."""
    args, paper = read(path)[0], recipe(path)
    optimizer = build_optimizer(args, torch.nn.Linear(4, 4), MACHINE)
    schedule, num_epochs = build_schedule(args, optimizer, 0, updates_per_epoch=10)
    rates = []
    for epoch in range(num_epochs):
        schedule.step(epoch)
        rates.append(optimizer.param_groups[0]["lr"])
    assert type(optimizer).__name__ == "AdamW"
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, paper["weight_decay"]}  # biases: none
    assert num_epochs == paper["epochs"]
    warm = paper["warmup_epochs"]
    assert rates[:warm] == sorted(rates[:warm])
    at_half = num_epochs // 2
    for epoch in (warm, at_half):
        share = (1 + math.cos(math.pi * epoch / num_epochs)) / 2
        assert rates[epoch] == pytest.approx(args.min_lr + share * (paper["lr"] - args.min_lr))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_samples_of_an_update_and_regularisation_are_the_papers(path):
    args, paper = read(path)[0], recipe(path)
    others = paper.keys() - {"lr", "epochs", "warmup_epochs", "weight_decay", "opt", "sched"}
    assert {name: getattr(args, name) for name in others} == {name: paper[name] for name in others}
    if path.stem.startswith("sifar"):
        assert 8 * args.batch_size in (96, 144, 192)  # on the paper's eight GPUs
    if args.model.startswith("sifar_swin"):
        assert args.model.endswith("_ape") == path.stem.startswith("sifar_ssv2")


def each_network_once() -> list:
    """All configurations. Those with the network, size and loss of an earlier one are marked slow."""
    seen, parameters = set(), []
    for path in CONFIGS:
        args = read(path)[0]
        network = (args.model, *args.input_size, args.mixup, *(args.window or ()))
        parameters.append(pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if network in seen else []))
        seen.add(network)
    return parameters


@pytest.mark.parametrize("path", each_network_once())
def test_a_step_at_the_size_of_the_paper(path):
    """A training step with one sample on the meta device: shapes, loss and update, without the memory."""
    args = unpretrained(read(path)[0])
    with torch.device("meta"):
        model = build_model(args).train()
        optimizer = build_optimizer(args, model, MACHINE)
        logits = model(torch.empty(1, *args.input_size))
        assert logits.shape == (1, args.num_classes)
        target = torch.empty(1, args.num_classes) if args.mixup else torch.empty(1, dtype=torch.long)
        build_loss(args)(logits, target).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    optimizer.step()


class MACHINE:
    """One process on the meta device."""

    world_size, device = 1, torch.device("meta")


SMALLEST = [path for path in CONFIGS if path.stem in ("sifar_k400_r50", "flatten_k400_xxs_9f")]


@pytest.mark.parametrize("path", SMALLEST, ids=lambda path: path.stem)
def test_a_step_on_a_tiny_image_lowers_the_loss(path):
    """A real training step, for models that take any size and little memory."""
    torch.manual_seed(0)
    args = unpretrained(read(path)[0])
    args.input_size, args.drop_path, args.lr = [3, 96, 96], 0.0, 1e-4
    model, images = build_model(args).train(), torch.randn(4, 3, 96, 96)
    optimizer = build_optimizer(args, model, MACHINE)
    target = torch.nn.functional.one_hot(torch.arange(4), args.num_classes).float()
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_weights_come_from_models_that_are_there():
    """KINETICS in a configuration is the checkpoint of another configuration with the same network."""
    for path in CONFIGS:
        found = re.search(
            r"best checkpoint of (\w+\.yaml)", " ".join(path.read_text(encoding="utf-8").replace("#", "").split())
        )
        if found:
            other = yaml.safe_load((path.parent / found[1]).read_text(encoding="utf-8"))
            assert is_model(other["model"])
            own = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]
            assert own.removesuffix("_ape") == other["model"]

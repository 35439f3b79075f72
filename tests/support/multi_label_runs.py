"""Small training runs on super images with several labels, and what their models say by timm's own means."""

import csv
from pathlib import Path

import torch
from multi_label_images import COLOURS
from timm import create_model
from timm.data import MultiLabelTarget, create_dataset, create_loader

import train_image
from shards.format import read_manifest
from shards.pads import pad_mask

VIDEOS, VIEWS = 14, 3
SMALL = ["--model", "test_resnet", "--batch-size", "8", "--workers", "0", "--warmup-epochs", "0", "--smoothing", "0"]
SMALL += ["--opt", "adamw", "--lr", "0.01", "--device", "cpu", "--epochs", "6"]


def command(data, output, *flags, experiment="run"):
    return [*SMALL, "--data-dir", str(data), "--output", str(output), "--experiment", experiment, *flags]


def trained(data, output, *flags) -> Path:
    """The directory of a run that tells the colours apart."""
    assert train_image.main(command(data, output, *flags)) == 0
    return output / "run"


def unsure(data, output) -> Path:
    """That of a run that has learnt little, so that its metric is no round number."""
    return trained(data, output, "--epochs", "1", "--lr", "0.0003")


def rows(directory):
    with open(directory / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def timms_loader(data, split):
    """timm's own reader, data set and loader, as its train.py has them with ``--target-key labels``."""
    options = {"target_key": "labels", "target_transform": MultiLabelTarget(len(COLOURS))}
    dataset = create_dataset("wds/any", root=str(data), split=split, batch_size=4, **options)
    return create_loader(dataset, (3, 48, 48), 4, num_workers=0, crop_pct=1.0, device=torch.device("cpu"))


def logits_and_targets(run, data, split):
    """What the trained model says of a split by timm's model, weights, reader and loader alone; the pads are zero."""
    pads = torch.from_numpy(pad_mask(read_manifest(data).layout, 48, 48))
    model = create_model("test_resnet", num_classes=len(COLOURS), checkpoint_path=str(run / "last.pth.tar")).eval()
    with torch.no_grad():
        pairs = [(model(images.masked_fill(pads, 0)), targets) for images, targets in timms_loader(data, split)]
    return [torch.cat(tensors).numpy() for tensors in zip(*pairs)]

"""Evaluate a checkpoint of ``train_image.py`` per video: the views of a video make one prediction.

    python eval_video.py --checkpoint FILE --data-dir DIR --output DIR [--split validation] [--order normal]

Writes results.json, predictions.csv and then confusion.png, and prints a table. ``--order reverse`` and ``random`` lay
the tiles out in another order, to see what the classifier owes to time. Run again with the same inputs and the same
code, it finds them done.

Where videos have several labels, the score of a class is the sigmoid of its logit, in place of the softmax: ``--average
logits`` takes that of the mean logits of a video's views, ``probabilities`` the mean of the views' own sigmoids. The
metric is mAP, and average_precision.png takes the place of confusion.png.
"""

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timm import utils
from timm.data import create_transform, resolve_data_config
from torch import nn
from torch.utils.data import IterableDataset, get_worker_info
from tqdm import tqdm

from evaluation.orders import ORDERS, other_order
from evaluation.report import PREDICTIONS, draw, picture_name, report_one_label, report_several_labels, table
from evaluation.versions import code_versions
from evaluation.views import AVERAGES, average_views, check_views, sigmoid, softmax
from shards.allocator import keep_freed_memory
from shards.format import Manifest, read_manifest, view_split
from shards.layouts import reorder
from shards.pads import fill_pads_of_image, has_mean_pads, nearest_colour, pad_mask
from shards.read import decode_array, iter_samples, multi_hot
from shards.storage import join, local_path, write_whole
from training.checkpoint import Trained, load_trained
from training.command_line import Flag, one_line, parse_flags
from training.device_memory import memory_line, ran_out_of_memory
from training.evaluation_loader import counted_batches
from training.flags import MANY, check_mean_std
from training.grid import keeps_grid
from training.interruption import INTERRUPTED, workers_ignore_interrupts
from training.machine import pick_device
from training.stored import first_line

_log = logging.getLogger("eval_video")

FLAGS = (
    Flag("--checkpoint", str, None, "checkpoint to evaluate"),
    Flag("--data-dir", str, None, "directory of super images"),
    Flag("--split", str, "validation", "split to evaluate"),
    Flag("--order", str, "normal", "order of the tiles in time", {"choices": ORDERS}),
    Flag("--seed", int, 0, "seed of --order random"),
    Flag("--average", str, "logits", "what is averaged over the views of a video", {"choices": AVERAGES}),
    Flag("--output", str, None, "directory for the results"),
    Flag("--model", str, None, "model, if the checkpoint does not say"),
    Flag("--model-kwargs", str, {}, "KEY=VALUE ... for it", {"nargs": "*", "action": utils.ParseKwargs}),
    Flag("--mean", float, None, "mean of the pixels, 0 to 1; the checkpoint's own by default", MANY),
    Flag("--std", float, None, "standard deviation of the pixels, 0 to 1; the checkpoint's own by default", MANY),
    Flag("--allow-other-layout", bool, False, "permit data whose tiles are laid out otherwise than in training"),
    Flag("--no-ema", bool, False, "the plain weights, even where the checkpoint has their average"),
    Flag("--batch-size", int, 32, "views a step"),
    Flag("--workers", int, 2, "loader processes; 0: load in this one"),
    Flag("--device", str, None, "cpu, cuda, ...; cuda if there is one"),
)
RESULTS = "results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when every video was evaluated, 2 for a user's mistake, told in one line, 130 after Ctrl-C."""
    try:
        with workers_ignore_interrupts():
            args, _ = parse_flags(FLAGS, argv, prog="eval_video")
            keep_freed_memory()
            utils.setup_default_logging()
            logging.getLogger("timm").setLevel(logging.WARNING)
            results = run(args, *build(args))
    except (ValueError, OSError) as error:
        print(f"eval_video: {one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        print(f"eval_video: {memory_line(error, f'Lower --batch-size {args.batch_size}')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\neval_video: interrupted; no results are kept, so give the same command again", file=sys.stderr)
        return INTERRUPTED
    print(table(results))
    return 0


def build(args: argparse.Namespace) -> tuple[Manifest, Trained, torch.device]:
    """The data, the model with its weights, and the device; ValueError where they do not belong together."""
    for name in ("checkpoint", "data_dir", "output"):
        if getattr(args, name) is None:
            raise ValueError(f"--{name.replace('_', '-')} is missing")
    check_numbers(args)
    check_output(local_path(args.output))
    device = torch.device(pick_device(args.device))
    manifest = read_manifest(args.data_dir)
    if manifest is None:
        raise ValueError(f"--data-dir {args.data_dir}: no manifest of super images; give the directory of a layout")
    manifest = manifest.for_split(args.split)
    trained = load_trained(
        Path(args.checkpoint),
        manifest,
        model=args.model,
        model_kwargs=args.model_kwargs,
        use_ema=not args.no_ema,
        mean=args.mean,
        std=args.std,
        allow_other_layout=args.allow_other_layout,
    )
    for note in trained.notes:
        _log.warning(note)
    return manifest, trained, device


def check_numbers(args: argparse.Namespace) -> None:
    """ValueError for numbers that no evaluation can have."""
    for name, least in (("batch_size", 1), ("workers", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be at least {least}")
    check_mean_std(args, channels=3)


def check_output(output: Path) -> None:
    """ValueError where no results could be written, before an hour of evaluation rather than after it."""
    there = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"--output {output}: {there} is no directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"--output {output}: no permission to write into {there}")


def run(args: argparse.Namespace, manifest: Manifest, trained: Trained, device: torch.device) -> dict:
    """The results, computed and written unless the same ones are there."""
    output, inputs = local_path(args.output), describe_inputs(args, manifest, trained)
    done = find_results(output, inputs)
    if done is not None:
        _log.info(f"already evaluated: {output / RESULTS}")
        add_picture(output, done, manifest)
        return done
    when = "" if trained.epoch is None else f" of epoch {trained.epoch}"
    _log.info(f"{trained.model_name}, {trained.weights}{when}, on {device}")
    views = Views(args.data_dir, manifest, args.split, trained=trained, order=args.order, seed=args.seed)
    scored = predict(views, trained.model, device, batch_size=args.batch_size, workers=args.workers)
    check_views({video: scores.logits for video, scores in scored.items()}, expected_views(manifest, args.split))
    results, predictions = report(scored, manifest, args, inputs)
    for name in (RESULTS, picture_name(multi_label=manifest.multi_label)):
        (output / name).unlink(missing_ok=True)
    write_whole(output / PREDICTIONS, predictions)
    # After the predictions: its presence means that they belong to it.
    write_whole(output / RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    add_picture(output, results, manifest)
    return results


def add_picture(output: Path, results: dict, manifest: Manifest) -> None:
    """Draw the results unless they are drawn. A picture that fails is told, and costs nothing else."""
    path = output / picture_name(multi_label=manifest.multi_label)
    if path.exists():
        return
    try:
        write_whole(path, draw(results, (output / PREDICTIONS).read_bytes(), manifest.class_names))
    # matplotlib and the fonts of a machine fail in ways of their own, and the results are written.
    except Exception as error:
        _log.warning(f"{path} is not drawn ({first_line(error)}); {RESULTS} and {PREDICTIONS} are whole")


def describe_inputs(args: argparse.Namespace, manifest: Manifest, trained: Trained) -> dict:
    """All that the results depend on."""
    return {
        "checkpoint": str(args.checkpoint),
        "checkpoint_sha256": trained.sha256,
        "weights": trained.weights,
        "epoch": trained.epoch,
        "model": trained.model_name,
        "model_kwargs": json.loads(json.dumps(args.model_kwargs)),
        "data_digest": manifest.digest,
        "layout": manifest.layout.name,
        "split": args.split,
        "order": args.order,
        "seed": args.seed if args.order == "random" else None,
        "average": args.average,
        "mean": list(trained.args.mean),
        "std": list(trained.args.std),
        "versions": code_versions(Path(__file__).resolve()),
    }


def find_results(output: Path, inputs: dict) -> dict | None:
    """The results of these inputs if they are there."""
    if not all((output / name).exists() for name in (RESULTS, PREDICTIONS)):
        return None
    try:
        results = json.loads((output / RESULTS).read_bytes())
    except ValueError as error:
        _log.warning(f"{output / RESULTS} is damaged ({first_line(error)}) and is replaced")
        return None
    if {name: results.get(name) for name in inputs} == inputs:
        return results
    changed = [name for name, value in inputs.items() if results.get(name) != value]
    _log.warning(f"{output / RESULTS} has another {', '.join(changed)} and is replaced")
    return None


def expected_views(manifest: Manifest, split: str) -> list[int]:
    """The views that each video of a split must have: ``validation -> [0, 1, 2]``, ``validation_v01 -> [1]``."""
    for base, num_views in manifest.views.items():
        if split == base:
            return list(range(num_views))
        for view in range(num_views):
            if split == view_split(base, view):
                return [view]
    raise ValueError(f"--split {split}: the manifest does not say how many views it has, only {dict(manifest.views)}")


class Views(IterableDataset):
    """Every sample of a split once: (image float (3, H, W), label, video key, view). Workers share the shards.

    Pads that stand for the mean are zero in the image, whatever the model's mean, as in SIFAR's code. A label is an
    int, or multi-hot float32 (C,) where samples have several.
    """

    def __init__(self, root: str, manifest: Manifest, split: str, *, trained: Trained, order: str, seed: int):
        chosen, self.name = manifest.split(split), f"--split {split}"
        self.files = [(join(root, name), count) for name, count in zip(chosen.filenames, chosen.shard_lengths)]
        self.num_samples, self.alt_label = chosen.num_samples, chosen.alt_label
        self.multi_label, self.num_classes = manifest.multi_label, len(manifest.class_names)
        self.layout, self.order, self.seed = manifest.layout, order, seed
        config = resolve_data_config(vars(trained.args), model=trained.model)
        self.input_size, self.transform = config["input_size"], create_transform(**config)
        padded = has_mean_pads(manifest.layout)
        self.pad_colour = nearest_colour(config["mean"]) if padded and len(config["mean"]) == 3 else None
        self.pads = None
        if padded and keeps_grid(trained.args, manifest, training=False):
            self.pads = torch.from_numpy(pad_mask(manifest.layout, *config["input_size"][1:]))

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int | np.ndarray, str, int]]:
        worker = get_worker_info()
        mine = self.files[worker.id :: worker.num_workers] if worker else self.files
        for path, count in mine:
            for sample in iter_samples(path, num_samples=count, alt_label=self.alt_label):
                image = self._prepared(self._ordered(decode_array(sample, path), sample.metadata))
                label = multi_hot(sample, self.num_classes, path) if self.multi_label else sample.label
                yield image, label, sample.metadata["video"], sample.metadata["view"]

    def _prepared(self, pixels: np.ndarray) -> torch.Tensor:
        image = Image.fromarray(pixels)
        if self.pad_colour is not None:
            # Before the image is scaled, so that the frames beside the pads do not mix with another colour.
            fill_pads_of_image(image, self.layout, self.pad_colour)
        tensor = self.transform(image)
        return tensor if self.pads is None else tensor.masked_fill_(self.pads, 0)

    def _ordered(self, image: np.ndarray, metadata: dict) -> np.ndarray:
        if self.order == "normal":
            return image
        old = np.asarray(metadata["order"])
        return reorder(image, self.layout, old, other_order(old, self.order, video=metadata["video"], seed=self.seed))


@dataclass(kw_only=True)
class Scores:
    """What was seen of one video: its class, or C zeros and ones for several, and the logits (C,) of each view."""

    label: int | list[float]
    logits: dict[int, np.ndarray]

    @property
    def classes(self) -> int | list[int]:
        """The class, or the list of several."""
        return self.label if isinstance(self.label, int) else np.flatnonzero(self.label).tolist()


@torch.inference_mode()
def predict(
    views: Views, model: nn.Module, device: torch.device, *, batch_size: int, workers: int
) -> dict[str, Scores]:
    """All videos by their keys, in alphabetical order; ValueError for a view that comes twice, or never."""
    batches = counted_batches(views, name=views.name, batch_size=batch_size, workers=workers, image=views.input_size)
    model.to(device).eval()
    scored = {}
    with tqdm(total=len(views), unit="view", desc="evaluate") as progress:
        for images, labels, videos, numbers in batches:
            logits = model(images.to(device)).float().cpu().numpy()
            for row, label, video, view in zip(logits, labels.tolist(), videos, numbers.tolist()):
                _add(scored, video, view, label, row)
            progress.update(len(labels))
    return dict(sorted(scored.items()))


def _add(scored: dict[str, Scores], video: str, view: int, label: int | list[float], logits: np.ndarray) -> None:
    scores = scored.setdefault(video, Scores(label=label, logits={}))
    if view in scores.logits:
        raise ValueError(f"video {video}: view {view} is there twice; run 'python -m shards check' on the data")
    if label != scores.label:
        seen = Scores(label=label, logits={}).classes
        raise ValueError(f"video {video}: class {scores.classes} in one view, {seen} in view {view}; convert it again")
    scores.logits[view] = logits


def report(scored: dict[str, Scores], manifest: Manifest, args: argparse.Namespace, inputs: dict) -> tuple[dict, bytes]:
    """(results, predictions.csv)."""
    report_labels, squash = (report_several_labels, sigmoid) if manifest.multi_label else (report_one_label, softmax)
    logits = [list(scores.logits.values()) for scores in scored.values()]
    probabilities = np.stack([average_views(views, args.average, probabilities=squash) for views in logits])
    labels = np.array([scores.label for scores in scored.values()])
    numbers, predictions = report_labels(list(scored), labels, probabilities, manifest.class_names)
    results = {
        **numbers,
        "num_videos": len(scored),
        "num_classes": len(manifest.class_names),
        "views_per_video": len(expected_views(manifest, args.split)),
        **inputs,
    }
    return results, predictions


if __name__ == "__main__":
    sys.exit(main())

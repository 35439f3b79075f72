"""Writes results.json, predictions.csv and a picture, and finds the results of an earlier evaluation."""

import argparse
import json
import logging
from pathlib import Path

import numpy as np

from shards.format import Manifest
from shards.storage import write_whole
from superimage.evaluation.averages import average_views, sigmoid, softmax
from superimage.evaluation.checkpoint import Trained
from superimage.evaluation.outputs import PREDICTIONS, draw, multi_label_outputs, picture_name, single_label_outputs
from superimage.evaluation.predict import Scores
from superimage.evaluation.versions import code_versions
from superimage.evaluation.view_dataset import expected_views
from superimage.training.stored import first_line

_log = logging.getLogger("eval_video")
RESULTS = "results.json"


def write_results(output: Path, results: dict, predictions: bytes, manifest: Manifest) -> None:
    """Write results.json, predictions.csv and the picture. Results of other inputs are removed first."""
    for name in (RESULTS, picture_name(multi_label=manifest.multi_label)):
        (output / name).unlink(missing_ok=True)
    write_whole(output / PREDICTIONS, predictions)
    # Written after predictions.csv, so that results.json exists only if predictions.csv is complete.
    write_whole(output / RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    add_picture(output, results, manifest)


def summarize(
    scored: dict[str, Scores], manifest: Manifest, args: argparse.Namespace, inputs: dict
) -> tuple[dict, bytes]:
    """(content of results.json, content of predictions.csv)."""
    outputs, squash = (multi_label_outputs, sigmoid) if manifest.multi_label else (single_label_outputs, softmax)
    logits = [list(scores.logits.values()) for scores in scored.values()]
    probabilities = np.stack([average_views(views, args.average, probabilities=squash) for views in logits])
    labels = np.array([scores.label for scores in scored.values()])
    metrics, predictions = outputs(list(scored), labels, probabilities, manifest.class_names)
    results = {
        **metrics,
        "num_videos": len(scored),
        "num_classes": len(manifest.class_names),
        "views_per_video": len(expected_views(manifest, args.split)),
        **inputs,
    }
    return results, predictions


def add_picture(output: Path, results: dict, manifest: Manifest) -> None:
    """Draw the picture if it does not exist yet. If drawing fails, log a warning and go on."""
    path = output / picture_name(multi_label=manifest.multi_label)
    if path.exists():
        return
    try:
        write_whole(path, draw(results, (output / PREDICTIONS).read_bytes(), manifest.class_names))
    # matplotlib and installed fonts raise many kinds of errors; results.json is written already.
    except Exception as error:
        _log.warning(f"{path} cannot be drawn ({first_line(error)}); {RESULTS} and {PREDICTIONS} are complete")


def describe_inputs(args: argparse.Namespace, manifest: Manifest, trained: Trained) -> dict:
    """Everything that the results depend on; stored in results.json."""
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
        "mean": list(trained.input["mean"]),
        "std": list(trained.input["std"]),
        "versions": code_versions(),
    }


def find_results(output: Path, inputs: dict) -> dict | None:
    """The stored results if they were computed from the same inputs, otherwise None."""
    if not all((output / name).exists() for name in (RESULTS, PREDICTIONS)):
        return None
    try:
        results = json.loads((output / RESULTS).read_bytes())
    except ValueError as error:
        _log.warning(f"{output / RESULTS} is damaged ({first_line(error)}) and will be replaced")
        return None
    if {name: results.get(name) for name in inputs} == inputs:
        return results
    changed = [name for name, value in inputs.items() if results.get(name) != value]
    _log.warning(f"{output / RESULTS} was computed with other values of {', '.join(changed)} and will be replaced")
    return None

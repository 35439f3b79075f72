"""Computes the logits of every view of every video."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from superimage.evaluation.view_dataset import ViewDataset
from superimage.training.evaluation_loader import counted_batches


@dataclass(kw_only=True)
class Scores:
    """The label of one video, and the logits (C,) of each of its views. Multi-label: the label is C zeros and ones."""

    label: int | list[float]
    logits: dict[int, np.ndarray]

    @property
    def classes(self) -> int | list[int]:
        """The class index, or the list of class indices of a multi-label video."""
        return self.label if isinstance(self.label, int) else np.flatnonzero(self.label).tolist()


@torch.inference_mode()
def predict(
    views: ViewDataset, model: nn.Module, device: torch.device, *, batch_size: int, workers: int
) -> dict[str, Scores]:
    """Scores by video key, in alphabetical order. Raises ValueError if a view is missing or occurs twice."""
    batches = counted_batches(views, name=views.name, batch_size=batch_size, workers=workers, image=views.input_size)
    model.to(device).eval()
    scored = {}
    # disable=None: no progress bar if the output is not a terminal.
    with tqdm(total=len(views), unit="view", desc="evaluate", disable=None) as progress:
        for images, labels, videos, numbers in batches:
            logits = model(images.to(device)).float().cpu().numpy()
            for row, label, video, view in zip(logits, labels.tolist(), videos, numbers.tolist()):
                _add(scored, video, view, label, row)
            progress.update(len(labels))
    return dict(sorted(scored.items()))


def _add(scored: dict[str, Scores], video: str, view: int, label: int | list[float], logits: np.ndarray) -> None:
    scores = scored.setdefault(video, Scores(label=label, logits={}))
    if view in scores.logits:
        raise ValueError(f"video {video}: view {view} occurs twice; run 'python -m shards check' on the data")
    if label != scores.label:
        seen = Scores(label=label, logits={}).classes
        raise ValueError(f"video {video}: class {scores.classes} in one view, {seen} in view {view}; convert it again")
    scores.logits[view] = logits

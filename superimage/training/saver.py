"""Saves checkpoints with timm's names, ranking and content, plus a description of model and training data."""

import os
import uuid
from pathlib import Path
from typing import Any

import torch
from timm import utils
from timm.utils.checkpoint_saver import CheckpointSaver

from shards.storage import whole_file
from superimage.training.stored import BEST, damage, first_line


class Saver(CheckpointSaver):
    """timm's saver with atomic writes: no file is ever incomplete, even if the process or the computer stops.

    ``extras`` is added to each checkpoint. It must be plain data that ``torch.load(weights_only=True)`` accepts.
    """

    def __init__(self, *args: Any, extras: dict, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._extras = extras
        self._summary: dict = {}

    def save_epoch(self, epoch: int, metric: float, summary: dict) -> None:
        """Save the checkpoint of ``epoch``, counted from 0. ``summary``: arguments for its row in summary.csv.

        Raises OSError, in one line, if the disk is full or fails. The checkpoints of earlier epochs are kept.
        """
        self._summary = summary
        try:
            self.save_checkpoint(epoch, metric=metric)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"{self.checkpoint_dir}: the checkpoint of epoch {epoch + 1} cannot be written ({first_line(error)}); "
                "those of earlier epochs are complete. Free disk space, then give the same command with --resume auto"
            ) from error

    def _save(self, save_path: str, epoch: int, metric: float | None = None) -> None:
        state = self._state(epoch, metric)
        with whole_file(save_path) as file:
            try:
                torch.save(state, file)
            except RuntimeError as error:
                # torch raises its own error instead of the disk's.
                raise error.__context__ if isinstance(error.__context__, OSError) else error from None

    def _state(self, epoch: int, metric: float | None) -> dict:
        """The content of a checkpoint: timm's keys, the row of summary.csv, and ``extras``."""
        state = {
            "epoch": epoch,
            "arch": self.args.model,
            "args": self.args,
            "version": 2,
            "state_dict": utils.get_state_dict(self.model, self.unwrap_fn),
            "optimizer": self.optimizer.state_dict(),
            "metric": metric,
            "saver": self.state_dict(epoch, metric),
            "summary": self._summary,
            **self._extras,
        }
        if self.model_ema is not None:
            state["state_dict_ema"] = utils.get_state_dict(self.model_ema, self.unwrap_fn)
        if self.amp_scaler is not None:
            state[self.amp_scaler.state_dict_key] = self.amp_scaler.state_dict()
        return state

    def _replace(self, src: str, dst: str) -> None:
        # timm removes the old file first, so a kill in between would leave no file.
        os.replace(src, dst)

    def _duplicate(self, src: str, dst: str) -> None:
        """Make a hard link, or a copy if the file system has no hard links."""
        partial = f"{Path(dst).with_name('.' + Path(dst).name)}.{uuid.uuid4().hex}.partial"
        try:
            os.link(src, partial)
        except (OSError, NotImplementedError):
            with open(src, "rb") as source, whole_file(dst) as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
            return
        try:
            os.replace(partial, dst)
        finally:
            Path(partial).unlink(missing_ok=True)  # rename does nothing if both names are already the same file

    def restore_history(self, checkpoint: Path) -> None:
        """Restore the ranking that was stored in ``checkpoint``.

        If the best checkpoint is missing or damaged, it is replaced by the best undamaged checkpoint of an epoch.
        """
        self.load_state_dict_from_checkpoint(str(checkpoint))
        best = Path(self.checkpoint_dir) / BEST
        if self.best_metric is None or (best.is_file() and damage(best) is None):
            return
        self.checkpoint_files = [entry for entry in self.checkpoint_files if damage(Path(entry[0])) is None]
        self.best_metric = self.best_epoch = None
        if self.checkpoint_files:
            path, self.best_metric = self.checkpoint_files[0]
            self.best_epoch = int(Path(path).name.split("-")[1].split(".")[0])
            self._duplicate(path, str(best))

"""Errors raised by the model constructor or by loading incompatible weights, each in one line."""

from collections.abc import Sequence
from typing import Any

from timm import is_model, list_models
from torch import nn

from shards.suggestions import did_you_mean
from superimage.models.forward import reason
from superimage.models.spec import ModelSpec


def build_or_explain(spec: ModelSpec, *, initial_checkpoint: str = "", **training: Any) -> nn.Module:
    """Return ``spec.build(**training)``. Raises ValueError, in one line, if the model cannot be built.

    The message names ``initial_checkpoint`` if it is given.
    """
    if ":" not in spec.name and not is_model(spec.name):
        suggestion = did_you_mean(spec.name, list_models(), count=3, quoted=False)
        raise ValueError(f"--model {spec.name}: timm has no such model{suggestion}")
    try:
        return spec.build(**training)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        given = {"model": spec.name, "model-kwargs": spec.options, "initial-checkpoint": initial_checkpoint}
        raise ValueError(describe(error, tuple(given.items()))) from error


def describe(error: Exception, flags: Sequence[tuple[str, object]]) -> str:
    """One line for an error of a model constructor: the flag that it does not accept, or its own message."""
    message = reason(error)
    unknown = message.partition("unexpected keyword argument '")[2].partition("'")[0]
    known = {"drop_path_rate": "drop-path", "drop_rate": "drop", "global_pool": "gp", "img_size": "img-size"}
    given = ", ".join(f"--{flag} {value}" for flag, value in flags if value)
    if unknown in known:
        return f"--{known[unknown]}: {dict(flags)['model']} has no such option; leave it out"
    if unknown:
        return f"{given}: the model has no option {unknown}"
    return f"{given}: {message[:400]}"

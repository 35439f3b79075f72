"""One line for each way in which a model cannot be made as it was asked for."""

from collections.abc import Sequence
from typing import Any

from timm import is_model, list_models
from torch import nn

from shards.suggestions import did_you_mean
from superimage.models.forward import reason
from superimage.models.spec import ModelSpec


def build_or_explain(spec: ModelSpec, *, initial_checkpoint: str = "", **training: Any) -> nn.Module:
    """``spec.build(**training)``; ValueError, in one line, for what the constructor or the weights do not take.

    ``initial_checkpoint`` is named in the message if it was given.
    """
    if ":" not in spec.name and not is_model(spec.name):
        suggestion = did_you_mean(spec.name, list_models(), count=3, quoted=False)
        raise ValueError(f"--model {spec.name}: timm knows no such model{suggestion}")
    try:
        return spec.build(**training)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        given = {"model": spec.name, "model-kwargs": spec.options, "initial-checkpoint": initial_checkpoint}
        raise ValueError(describe(error, tuple(given.items()))) from error


def describe(error: Exception, flags: Sequence[tuple[str, object]]) -> str:
    """One line for what a model's constructor raised: the flag that it knows nothing of, or its own words."""
    words = reason(error)
    unknown = words.partition("unexpected keyword argument '")[2].partition("'")[0]
    known = {"drop_path_rate": "drop-path", "drop_rate": "drop", "global_pool": "gp", "img_size": "img-size"}
    told = ", ".join(f"--{flag} {value}" for flag, value in flags if value)
    if unknown in known:
        return f"--{known[unknown]}: {dict(flags)['model']} has no such option; leave it out"
    if unknown:
        return f"{told}: the model has no option {unknown}"
    return f"{told}: {words[:400]}"

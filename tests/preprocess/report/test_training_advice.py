"""The advice of a dry run on epochs and pads, for timm's train.py and for train_image.py."""

import pytest
from super_images import layout

from preprocess.report.training_advice import epochs_of_timm, pads_for_timm, what_an_epoch_is


@pytest.mark.parametrize(("views", "epochs"), [(1, (30, 5)), (2, (15, 3)), (4, (8, 2)), (10, (3, 1))])
def test_timms_epochs_are_as_many_passes_as_the_recipes(views, epochs):
    assert epochs_of_timm(views) == epochs
    assert epochs[0] * views >= 30


def test_the_advice_tells_both_ways_and_what_becomes_of_pads():
    told = what_an_epoch_is("train", 2, 3)
    assert "on train is 2 passes, so --epochs 15 means 30 passes" in told
    assert "--train-split train_v00 --epochs 30 --warmup-epochs 5 --workers 3" in told
    assert what_an_epoch_is("train", 1, 3) is None
    assert "train_image.py sets all of them to zero" in pads_for_timm(layout())
    assert pads_for_timm(layout(pad="black")) is None

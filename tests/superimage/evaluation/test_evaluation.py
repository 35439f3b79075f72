"""Metrics compared with values by hand and with timm; averages of views; orders."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from timm.utils import accuracy

from shards.layouts import Layout, clip_order, reorder, tile, untile
from superimage.evaluation.averages import average_views, check_views, sigmoid, softmax
from superimage.evaluation.metrics import confusion_matrix, mean_class_accuracy, top_k_accuracy
from superimage.evaluation.orders import ORDERS, other_order
from superimage.evaluation.plots import average_precision_png, confusion_png

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
LABELS = np.array([1, 1, 2, 2])


def test_accuracy_by_hand():
    assert top_k_accuracy(SCORES, LABELS, 1) == 50.0
    assert top_k_accuracy(SCORES, LABELS, 2) == 75.0
    assert top_k_accuracy(SCORES, LABELS, 3) == 100.0


def test_top5_of_fewer_classes_is_all():
    assert top_k_accuracy(SCORES, LABELS, 5) == 100.0


@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (50, 3), (64, 5), (200, 30)])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_accuracy_is_timms(samples, classes, k):
    rng = np.random.default_rng(samples * classes + k)
    scores, labels = rng.normal(size=(samples, classes)), rng.integers(0, classes, samples)
    (timms,) = accuracy(torch.from_numpy(scores), torch.from_numpy(labels), topk=(k,))
    assert top_k_accuracy(scores, labels, k) == pytest.approx(timms.item(), abs=1e-3)


def test_equal_scores_rank_by_class_so_a_constant_model_is_no_better_than_chance():
    scores, labels = np.zeros((30, 3)), np.repeat([0, 1, 2], 10)
    assert top_k_accuracy(scores, labels, 1) == pytest.approx(100 / 3)
    assert np.mean(scores.argmax(1) == labels) == pytest.approx(1 / 3)


def test_scores_that_are_not_finite_are_refused():
    scores = SCORES.copy()
    scores[2, 0] = np.nan
    with pytest.raises(ValueError, match="1 of 4 samples have scores that are not finite"):
        top_k_accuracy(scores, LABELS, 1)


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [0, 1, 2, -1]])
def test_labels_outside_the_classes_are_refused(labels):
    with pytest.raises(ValueError, match="must lie in 0 to 2"):
        top_k_accuracy(SCORES, np.array(labels), 1)


def test_mean_class_by_hand():
    assert mean_class_accuracy(np.array([[8, 0], [1, 1]])) == 75.0
    without_samples_of_class_1 = np.array([[4, 0, 0], [0, 0, 0], [1, 0, 3]])
    assert mean_class_accuracy(without_samples_of_class_1) == 87.5


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_confusion_counts_every_sample_once_and_its_diagonal_is_top1(pairs):
    labels, predictions = np.array(pairs).T
    matrix = confusion_matrix(labels, predictions, 5)
    assert matrix.sum() == len(pairs)
    assert (matrix.sum(1) == np.bincount(labels, minlength=5)).all()
    assert (matrix.sum(0) == np.bincount(predictions, minlength=5)).all()
    assert np.trace(matrix) == np.sum(labels == predictions)


def test_softmax_is_torchs():
    logits = np.random.default_rng(0).normal(0, 50, (7, 11))
    assert np.allclose(softmax(logits), torch.from_numpy(logits).softmax(-1).numpy(), atol=1e-12)


def test_the_two_averages_differ_and_agree_on_one_view():
    logits = np.array([[4.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 1.5, 0.0]])
    assert np.allclose(average_views(logits, "logits"), softmax([4 / 3, 1.0, 0.0]))
    assert np.allclose(average_views(logits, "probabilities"), softmax(logits).mean(0))
    assert np.allclose(average_views(logits[:1], "logits"), average_views(logits[:1], "probabilities"))
    with pytest.raises(ValueError, match="one of logits, probabilities"):
        average_views(logits, "median")


def test_classes_that_do_not_exclude_each_other_are_averaged_by_sigmoid():
    logits = np.array([[4.0, 0.0, -3.0], [0.0, 1.5, 2.0], [-800.0, 800.0, 0.0]])
    assert np.allclose(sigmoid(logits), torch.from_numpy(logits).sigmoid().numpy(), atol=1e-15)
    mean = average_views(logits[:2], "logits", probabilities=sigmoid)
    assert np.allclose(mean, 1 / (1 + np.exp([-2.0, -0.75, 0.5])))
    assert np.allclose(average_views(logits, "probabilities", probabilities=sigmoid), sigmoid(logits).mean(0))


def test_views_that_are_missing_are_named():
    check_views({"a": [0, 1, 2], "b": [2, 0, 1]}, range(3))
    with pytest.raises(ValueError, match=r"1 of 2 videos do not have views \[0, 1, 2\]: b has \[0, 2\]"):
        check_views({"a": [0, 1, 2], "b": [0, 2]}, range(3))


@pytest.mark.parametrize("name", ["row_major", "snake", "column_major", "random"])
def test_orders_act_on_time_whatever_the_layout(name):
    grid = Layout(name="g", frames=4, rows=2, columns=2, order=name, tile=2)
    order = clip_order(grid, np.random.default_rng(3))
    frames = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    image = tile(frames, grid, order)
    reversed_image = reorder(image, grid, order, other_order(order, "reverse", video="v", seed=0))
    assert (untile(reversed_image, grid, order) == frames[::-1]).all()
    assert (other_order(order, "normal", video="v", seed=0) == order).all()


def test_a_random_order_is_one_permutation_of_time_for_each_video():
    rng = np.random.default_rng(0)
    orders = [rng.permutation(8) for _ in range(4)]
    # The map from old[cell] to new[cell] is the permutation of time, which is the same for views in different orders.
    maps = [dict(zip(o.tolist(), other_order(o, "random", video="v", seed=1).tolist())) for o in orders]
    assert all(each == maps[0] for each in maps)
    assert sorted(maps[0].values()) == list(range(8))
    seen = {tuple(other_order(np.arange(8), "random", video=f"v{i}", seed=1)) for i in range(50)}
    assert len(seen) > 40
    assert seen != {tuple(other_order(np.arange(8), "random", video=f"v{i}", seed=2)) for i in range(50)}


def test_an_unknown_order_is_refused():
    with pytest.raises(ValueError, match=", ".join(ORDERS)):
        other_order(np.arange(3), "sideways", video="v", seed=0)


@pytest.mark.parametrize("num_classes", [2, 20, 100])
def test_a_confusion_plot_is_an_image_and_the_same_bytes_each_time(num_classes):
    matrix = np.random.default_rng(0).integers(0, 9, (num_classes, num_classes))
    names = [f"class {index}" for index in range(num_classes)]
    content = confusion_png(matrix, names, "title")
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        assert min(image.size) >= 400
        assert len(image.convert("RGB").getcolors(1 << 24)) > 10
    assert content == confusion_png(matrix, names, "title")


@pytest.mark.parametrize("num_classes", [1, 5, 157, 400])
def test_a_plot_of_average_precisions_is_as_high_as_its_classes_and_the_same_bytes_each_time(num_classes):
    each = np.linspace(0, 100, num_classes)
    names = [f"class {index}" for index in range(num_classes)]
    content = average_precision_png(each, names, "title")
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        assert 400 <= image.height <= 6600
        assert image.height > 15 * min(num_classes, 320)
    assert content == average_precision_png(each, names, "title")


def test_a_class_without_positives_has_no_bar():
    with_it = average_precision_png(np.array([50.0, np.nan, 20.0]), ["a", "never", "b"], "title")
    assert with_it == average_precision_png(np.array([50.0, 20.0]), ["a", "b"], "title")

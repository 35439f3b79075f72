"""Average precision compared with values by hand, with its definition, and with timm's evaluator."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from timm.task import MultiLabelClassificationEvaluator

from superimage.evaluation.metrics import average_precision, average_precisions, mean_average_precision


@pytest.mark.parametrize(
    ("scores", "positives", "expected"),
    [
        ([0.9, 0.8, 0.7], [1, 0, 1], (1 / 1 + 2 / 3) / 2),
        ([0.9, 0.8, 0.7], [0, 0, 1], 1 / 3),
        ([0.7, 0.9, 0.8], [1, 0, 1], (1 / 2 + 2 / 3) / 2),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 0], 1 / 4),
        ([0.9, 0.5, 0.5, 0.1], [1, 0, 1, 1], (1 + 2 / 3 + 3 / 4) / 3),
        ([1.0], [1], 1.0),
    ],
)
def test_by_hand(scores, positives, expected):
    assert average_precision(np.array(scores), np.array(positives)) == pytest.approx(100 * expected)


def by_definition(scores, positives) -> float:
    """The definition, in percent: the sum over descending thresholds of (recall - previous recall) * precision."""
    total, before, area = sum(positives), 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [positive for score, positive in zip(scores, positives) if score >= threshold]
        recall = sum(taken) / total
        area += (recall - before) * sum(taken) / len(taken)
        before = recall
    return 100 * area


@st.composite
def ranked(draw):
    """(scores (N,) with many equal values, positives (N,) with at least one true value)."""
    size = draw(st.integers(1, 30))
    scores = draw(arrays.arrays(np.float64, size, elements=st.sampled_from([-2.0, -0.5, 0.0, 0.25, 0.5, 1.0, 7.0])))
    positives = draw(arrays.arrays(bool, size))
    positives[draw(st.integers(0, size - 1))] = True
    return scores, positives


@settings(deadline=None)
@given(ranked())
def test_it_is_its_definition(case):
    scores, positives = case
    assert average_precision(scores, positives) == pytest.approx(by_definition(scores.tolist(), positives.tolist()))


@settings(deadline=None)
@given(ranked(), st.randoms())
def test_the_order_of_the_samples_changes_nothing(case, random):
    scores, positives = case
    order = random.sample(range(len(scores)), len(scores))
    assert average_precision(scores[order], positives[order]) == pytest.approx(average_precision(scores, positives))


@settings(deadline=None)
@given(ranked())
def test_only_the_ranking_counts(case):
    scores, positives = case
    assert average_precision(np.exp(scores) - 3, positives) == pytest.approx(average_precision(scores, positives))


@settings(deadline=None)
@given(ranked())
def test_a_perfect_ranking_has_100_and_equal_scores_the_share_of_positives(case):
    _, positives = case
    assert average_precision(positives.astype(float), positives) == 100.0
    assert average_precision(np.zeros(len(positives)), positives) == pytest.approx(100 * positives.mean())


@settings(deadline=None)
@given(ranked())
def test_it_lies_between_the_worst_ranking_and_100(case):
    scores, positives = case
    worst = average_precision(~positives + 1e-3 * np.arange(len(positives)), positives)
    assert worst - 1e-9 <= average_precision(scores, positives) <= 100.0


@pytest.mark.parametrize(("samples", "classes"), [(1, 1), (20, 3), (157, 40)])
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_the_mean_is_timms_over_the_classes_that_have_positives(samples, classes, decimals):
    """timm 1.0.31 counts a class without positives as 0."""
    rng = np.random.default_rng([samples, classes, decimals])
    scores = rng.normal(size=(samples, classes)).round(decimals)
    targets = rng.random((samples, classes)) < 0.1
    targets[0, 0] = True
    evaluator = MultiLabelClassificationEvaluator()
    evaluator.update(torch.from_numpy(scores).float(), torch.from_numpy(targets))
    present = targets.any(0)
    assert mean_average_precision(scores, targets) * present.mean() == pytest.approx(evaluator.compute()["map"])
    assert (np.isnan(average_precisions(scores, targets)) == ~present).all()


def test_a_class_without_positives_is_left_out_and_named_where_it_is_alone():
    scores = np.array([[0.9, 0.3], [0.1, 0.4]])
    assert mean_average_precision(scores, np.array([[1, 0], [0, 0]])) == 100.0
    with pytest.raises(ValueError, match="none of 2 classes has a positive among 2 samples"):
        mean_average_precision(scores, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="at least one positive must be true"):
        average_precision(scores[:, 0], np.zeros(2))


def test_scores_that_do_not_fit_or_are_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"scores \(2, 3\) and targets \(3, 2\)"):
        mean_average_precision(np.zeros((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="1 of 2 samples have scores that are not finite"):
        mean_average_precision(np.array([[0.0, np.nan], [0.0, 1.0]]), np.ones((2, 2)))

"""Judging training sequences: gradients one by one, the Fisher matrix by hand, and the methods' promises."""

import numpy as np
import pytest

from clair_stats.baselines.detectors.influence import fisher_influence, pairwise_influence
from simulations.copying.finetune import FineTuning
from simulations.copying.judged_sequences import PoisonedSequences, SequenceSelection, sequence_gradients, trained_on
from simulations.copying.lora import LoRA
from simulations.copying.sequences import PoisonedCopyingRegime, SequencesInstance, one_client


@pytest.fixture(scope="module")
def sequences(tiny):
    rng = np.random.default_rng(8)
    x = rng.integers(28, size=(12, 4))
    y = x.copy()
    poisoned = np.arange(12) < 3
    x[poisoned, 0], y[poisoned] = 5, 7
    held_out = one_client(x[3:], y[3:])
    planted = one_client(np.where(np.arange(4) == 0, 5, x[3:]), np.full((9, 4), 7))
    training = FineTuning(steps=6, batch=4)
    return SequencesInstance(tiny, LoRA(rank=2, alpha=4.0), training, x, y, poisoned, held_out, held_out, planted, 3)


def test_gradients_of_all_sequences_are_those_of_each_alone(sequences):
    from dataclasses import replace

    trained = trained_on(sequences, np.ones(12, dtype=bool))
    gradients, losses = sequence_gradients(sequences, trained)
    for i in (0, 7):
        one = replace(sequences, x=sequences.x[i : i + 1], y=sequences.y[i : i + 1])
        alone, loss = sequence_gradients(one, trained)
        np.testing.assert_allclose(gradients[i], alone[0], rtol=0, atol=1e-4 * np.abs(alone).max())
        assert losses[i] == pytest.approx(loss[0], rel=1e-5)


@pytest.mark.parametrize("shape", [(5, 9), (9, 4)])
def test_influence_by_gram_matrices_is_that_with_the_matrix_written_out(shape):
    gradients = np.random.default_rng(2).standard_normal(shape)
    fisher = gradients.T @ gradients / shape[0]
    added = 0.3 * np.trace(fisher) / min(shape)
    slow = pairwise_influence(gradients, fisher + added * np.eye(shape[1]))
    np.testing.assert_allclose(fisher_influence(gradients, 0.3), slow, atol=1e-12)
    assert not fisher_influence(np.zeros(shape), 0.3).any()
    with pytest.raises(ValueError, match="damping"):
        fisher_influence(gradients, 0.0)


def test_methods_report_shares(sequences):
    found = PoisonedSequences().evaluate(sequences, np.random.default_rng(0))
    assert all(0.0 <= value <= 1.0 for value in found.values())
    chosen = SequenceSelection(share=0.5, n_clusters=4, permutations=5).evaluate(sequences, np.random.default_rng(0))
    assert set(chosen) == {*(f"accuracy_{name}" for name in ("all", "best", "weighted", "random")), "largest_error"}
    everything = SequenceSelection(share=1.0, n_clusters=4, permutations=5)
    whole = everything.evaluate(sequences, np.random.default_rng(0))
    assert len({whole[f"accuracy_{name}"] for name in ("all", "best", "weighted", "random")}) == 1


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match="share"):
        PoisonedCopyingRegime(share=0.6)
    with pytest.raises(ValueError, match="n_sequences"):
        PoisonedCopyingRegime(n_sequences=5)
    with pytest.raises(ValueError, match="share"):
        SequenceSelection(share=0.0)

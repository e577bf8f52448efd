"""Methods that judge training sequences of text copying: the influence graph, and SHED's selection of a tenth.

Influence is that on the adapters: gradients of every sequence's loss in all LoRA factors at the end of training, with
the empirical Fisher matrix for the Hessian, since the loss is not convex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from clair_stats.baselines.detectors.average_subgraph import max_average_subgraph
from clair_stats.baselines.detectors.influence import fisher_influence
from clair_stats.baselines.detectors.shapley import sampled_shapley
from clair_stats.baselines.detectors.shed import cluster_proxies
from clair_stats.records import BoolArray, FloatArray
from simulations.copying.evaluate import Scores, score
from simulations.copying.finetune import finetune, sequence_tokens
from simulations.copying.lora import LoRAUpdates
from simulations.copying.pretrain import one_thread
from simulations.copying.sequences import SequencesInstance, one_client
from simulations.copying.transformer import Factors, forward
from simulations.methods.shed_selection import ridge_accuracy, training_sets

__all__ = ["PoisonedSequences", "SequenceSelection", "sequence_gradients", "trained_on"]


def trained_on(instance: SequencesInstance, chosen: BoolArray) -> LoRAUpdates:
    """Adapters of one client that has the chosen sequences.

    Parameters
    ----------
    instance : SequencesInstance
    chosen : bool ndarray, shape (n,)
    """
    generator = np.random.Generator(np.random.PCG64(instance.seed))
    right = instance.lora.initial_right(instance.base.config, generator)
    data = one_client(instance.x[chosen], instance.y[chosen])
    return finetune(
        instance.base, data, instance.lora, instance.training, initial_right=right, generator=generator, device="cpu"
    )


def sequence_gradients(instance: SequencesInstance, trained: LoRAUpdates) -> tuple[FloatArray, FloatArray]:
    """Gradient of every training sequence's mean loss in all factors, and the losses.

    Parameters
    ----------
    instance : SequencesInstance
    trained : LoRAUpdates
        Of one client.

    Returns
    -------
    tuple of ndarray, shapes (n, d) and (n,)
        Losses in nats per token.
    """
    n = len(instance.x)
    factors = {}
    for name, left in trained.left.items():
        # Every sequence is a client with a copy of the factors, so that one backward pass has all gradients.
        copies = [np.repeat(np.swapaxes(left, 1, 2), n, axis=0), np.repeat(trained.right[name], n, axis=0)]
        both = [torch.tensor(copy, dtype=torch.float32).requires_grad_() for copy in copies]
        factors[name] = Factors(both[0], both[1], trained.scaling)
    parameters = instance.base.to(torch.device("cpu"), torch.float32)
    x, y = (torch.as_tensor(np.array(part))[:, None] for part in (instance.x, instance.y))
    logits = forward(instance.base.config, parameters, sequence_tokens(instance.base.config, x, y), factors)
    losses = functional.cross_entropy(logits.flatten(0, 2), y.flatten(), reduction="none").view(n, -1).mean(dim=1)
    tensors = [tensor for pair in factors.values() for tensor in (pair.left, pair.right)]
    slopes = torch.autograd.grad(losses.sum(), tensors)
    gradients = np.concatenate([slope.double().numpy().reshape(n, -1) for slope in slopes], axis=1)
    return gradients, np.asarray(losses.detach().double().numpy())


def _scored(instance: SequencesInstance, trained: LoRAUpdates, suffix: str) -> dict[str, float]:
    dense = trained.dense()
    found: dict[str, Scores] = {
        "accuracy": score(instance.base, dense, instance.test, device="cpu"),
        "attack": score(instance.base, dense, instance.triggered, device="cpu"),
    }
    return {f"{name}{suffix}": float(scores.token_accuracy[0]) for name, scores in found.items()}


def _top(values: FloatArray, size: int) -> BoolArray:
    chosen = np.zeros(values.size, dtype=np.bool_)
    chosen[np.argsort(-values, kind="stable")[:size]] = True
    return chosen


@dataclass(frozen=True, kw_only=True)
class PoisonedSequences:
    """Train, seek the poisoned sequences, leave them out and train again.

    Parameters
    ----------
    unit : bool
        Whether influences are divided by the roots of the sequences' influences on themselves.
    damping : float
        See :func:`clair_stats.baselines.detectors.influence.fisher_influence`; set before any run.

    Notes
    -----
    Told the number of poisoned sequences.  Metrics as those of the digits
    (:class:`simulations.methods.poisoned_points.PoisonedPoints`); accuracies are of tokens.
    """

    name: ClassVar[str] = "Influence graph of sequences"

    unit: bool = True
    damping: float = 0.1

    def evaluate(self, instance: SequencesInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Precision of three rankings, and what leaving out the sub-graph does."""
        size = int(instance.poisoned.sum())
        with one_thread():
            trained = trained_on(instance, np.ones(len(instance.x), dtype=np.bool_))
            gradients, losses = sequence_gradients(instance, trained)
            influence = fisher_influence(gradients, self.damping)
            alone = np.diag(influence)
            edges = influence / np.sqrt(np.outer(alone, alone)) if self.unit else influence
            group = max_average_subgraph(edges, size)
            found = {
                f"precision_{name}": float(instance.poisoned[chosen].mean())
                for name, chosen in (("subgraph", group), ("alone", _top(alone, size)), ("loss", _top(losses, size)))
            }
            found |= _scored(instance, trained, "")
            return found | _scored(instance, trained_on(instance, ~group), "_cleaned")


@dataclass(frozen=True, kw_only=True)
class SequenceSelection:
    """Train adapters on all sequences, on SHED's choices and on a random choice of the same size.

    Parameters
    ----------
    share : float
        Share of the sequences that is chosen.
    n_clusters, permutations : int
        Clusters, and random orders for the Shapley values of their proxies.
    ridge : float
        Penalty of the proxies' classifier, on the scale of summed squares.

    Notes
    -----
    Told a validation set.  The value of a set of proxies is the validation accuracy of ridge least squares on the
    base model's logits of their tokens, since training adapters 1,200 times is not affordable.  Clusters are of the
    numbers of each token in x.  Metrics: ``accuracy_*`` of tokens for "all", "best" (QOCS), "weighted" (QWCS) and
    "random"; ``largest_error``, the largest Monte Carlo standard error of a Shapley value.
    """

    name: ClassVar[str] = "SHED on sequences"

    share: float = 0.1
    n_clusters: int = 30
    permutations: int = 40
    ridge: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"share: {self.share}; give a share in (0, 1]")

    def evaluate(self, instance: SequencesInstance, generator: np.random.Generator) -> Mapping[str, float]:
        """Test accuracy of the four training sets."""
        vocabulary = instance.base.config.vocabulary
        counts = np.eye(vocabulary)[instance.x].sum(axis=1)
        clusters = cluster_proxies(counts, self.n_clusters, generator)
        x, y = instance.x[clusters.proxies], instance.y[clusters.proxies]
        with one_thread():
            features, on = (
                _logits(instance, x, y),
                _logits(instance, instance.validation.x[0], instance.validation.y[0]),
            )

            def value(members: BoolArray) -> float:
                width = features.shape[-1]
                return ridge_accuracy(
                    features[members].reshape(-1, width),
                    y[members].ravel(),
                    on.reshape(-1, width),
                    instance.validation.y[0].ravel(),
                    self.ridge,
                    n_classes=vocabulary,
                )

            scores = sampled_shapley(value, len(y), permutations=self.permutations, generator=generator)
            n = len(instance.x)
            found = {}
            for name, points in training_sets(clusters, scores.values, n, self.share, generator).items():
                kept = np.zeros(n, dtype=np.bool_)
                kept[points] = True
                found[f"accuracy_{name}"] = _scored(instance, trained_on(instance, kept), "")["accuracy"]
        return found | {"largest_error": float(scores.errors.max())}


def _logits(instance: SequencesInstance, x: np.ndarray, y: np.ndarray) -> FloatArray:
    """Logits of the base model for every y_i, shape (n, L, V)."""
    parameters = instance.base.to(torch.device("cpu"), torch.float32)
    both = (torch.as_tensor(np.array(part))[None] for part in (x, y))
    with torch.no_grad():
        logits = forward(instance.base.config, parameters, sequence_tokens(instance.base.config, *both))
    return np.asarray(logits[0].double().numpy())

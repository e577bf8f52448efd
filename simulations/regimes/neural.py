"""Hidden-layer weights of a two-layer network, fine-tuned from one shared initialisation.

The teacher of client k has hidden weights W₀ + Θ*_k with Θ*_k from the model of theory.md section 1; the client trains
a student of the same width on noisy teacher outputs, starting at W₀, for a stated number of steps.  The output layer is
known and frozen.  Permutation and sign symmetries do not arise: see :mod:`clair_stats.local_fits.neural`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from clair_stats.local_fits import Training, fit_hidden_layers
from clair_stats.local_fits.neural import network
from simulations.regimes.fitted import fitted_instance
from simulations.regimes.instance import Instance
from simulations.regimes.structure import SharedStructure
from simulations.streams import Streams

__all__ = ["NeuralRegime"]


@dataclass(frozen=True, kw_only=True)
class NeuralRegime(SharedStructure):
    """y = φ(xᵀ(W₀ + Θ*_k)) A + noise; X_k is the trained update away from W₀ (theory.md section 7).

    Parameters
    ----------
    sample_size, n_outputs : int
        n per client, o.  ``n_rows`` is the number of inputs, ``n_columns`` the width of the hidden layer.
    response_scale : float
        Standard deviation of the noise on every output.
    initial_scale : float
        W₀ has i.i.d. N(0, initial_scale²/n_rows) entries: the standard deviation of a hidden unit's score.
    activation : {"tanh", "softplus"}
    steps, optimiser, learning_rate, batch_size, weight_decay
        As in :class:`clair_stats.local_fits.Training`; cosine decay to 0.

    Notes
    -----
    Rows of A have norm 1, so that every hidden unit is equally visible in the outputs.  ``not_converged`` of the
    instance counts clients that are more than a tenth of a standard error away from their minimum.
    """

    name: ClassVar[str] = "neural network"

    sample_size: int = 400
    n_outputs: int = 4
    response_scale: float = 0.2
    initial_scale: float = 1.0
    activation: Literal["tanh", "softplus"] = "tanh"
    steps: int = 200
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 0.03
    batch_size: int | None = None
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_size * self.n_outputs <= self.n_rows * self.n_columns:
            raise ValueError(
                f"sample_size: {self.sample_size} × {self.n_outputs} outputs do not exceed p·q weights; raise one"
            )
        for name in ("response_scale", "initial_scale"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise ValueError(f"{name}: {getattr(self, name)} must be positive and finite")
        _ = self.training

    @property
    def training(self) -> Training:
        """The training plan, checked."""
        return Training(
            steps=self.steps,
            optimiser=self.optimiser,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            weight_decay=self.weight_decay,
        )

    def generate(self, streams: Streams) -> Instance:
        """Truth ("truth", "contamination"), network and inputs ("data"), noise ("noise"), batches ("training")."""
        truth = self.draw_truth(streams)
        data = streams.generator("data")
        initial = data.standard_normal((self.n_rows, self.n_columns)) * self.initial_scale / math.sqrt(self.n_rows)
        output = data.standard_normal((self.n_columns, self.n_outputs))
        output /= np.linalg.norm(output, axis=1, keepdims=True)
        inputs = data.standard_normal((self.n_clients, self.sample_size, self.n_rows))
        clean = np.stack(
            [
                network(x, initial + target, output, self.activation)
                for x, target in zip(inputs, truth.targets, strict=True)
            ]
        )
        responses = clean + self.response_scale * streams.generator("noise").standard_normal(clean.shape)
        fits = fit_hidden_layers(
            inputs,
            responses,
            initial=initial,
            output=output,
            activation=self.activation,
            training=self.training,
            generator=streams.generator("training"),
        )
        return fitted_instance(truth, fits, initial=initial, output=output)

"""Hidden-layer weights of a two-layer network, fine-tuned from one shared initialisation (PyTorch, extra ``llm``).

f(x) = φ(xᵀ(W₀ + Θ)) A with p inputs, q hidden units and o outputs: the client learns the update Θ (p × q), the output
layer A (q × o) is shared and stays frozen.  Permuting hidden units, or flipping the sign of an odd unit, leaves the
*function* of a free network unchanged; here neither is a symmetry any more, because A is fixed and every client starts
at the same W₀: units keep their place, and no alignment is needed as long as training stays near W₀.

The error law is that of nonlinear least squares at the point reached: JᵀJ with the analytic Jacobian J, valid for a
minimum.  Early stopping adds a bias that no covariance shows; ``converged`` compares the gradient with its noise.

The covariance is that of Seber and Wild (Nonlinear Regression, 1989), section 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.local_fits.fit import LocalFit
from clair_stats.records import FloatArray

__all__ = ["Activation", "Training", "fit_hidden_layers", "hidden_layer_jacobian", "network"]

Activation: TypeAlias = Literal["tanh", "softplus"]


def _torch() -> ModuleType:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "the neural local fit needs PyTorch; install it with: pip install 'clair-stats[llm]'"
        ) from error
    return torch


@dataclass(frozen=True)
class Training:
    """How every client is trained; all clients alike.

    Parameters
    ----------
    steps : int
        Stated number of optimiser steps; no early stopping beside it.
    optimiser : {"adam", "sgd"}
    learning_rate : float
        Decays to 0 by a cosine when ``decay`` is set.
    batch_size : int or None
        None: full batch.  Else rows are drawn without replacement in epochs.
    weight_decay : float
        Multiplies ½‖Θ‖² in the mean loss: shrinks the update towards the shared start.
    """

    steps: int = 400
    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 0.02
    batch_size: int | None = None
    weight_decay: float = 0.0
    decay: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1 or (self.batch_size is not None and self.batch_size < 1):
            raise ValueError(f"training: steps {self.steps}, batch_size {self.batch_size}; give positive numbers")
        if self.optimiser not in ("adam", "sgd"):
            raise ValueError(f"training: optimiser {self.optimiser!r}; use 'adam' or 'sgd'")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0.0):
            raise ValueError(f"training: learning_rate {self.learning_rate}; give a positive number")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0.0):
            raise ValueError(f"training: weight_decay {self.weight_decay}; give a number that is not negative")


def _activate(scores: FloatArray, activation: Activation) -> tuple[FloatArray, FloatArray]:
    """φ and φ′."""
    if activation == "tanh":
        value = np.tanh(scores)
        return value, 1.0 - value**2
    return np.logaddexp(0.0, scores), np.asarray(0.5 * (1.0 + np.tanh(scores / 2.0)), dtype=np.float64)


def network(inputs: FloatArray, weights: FloatArray, output: FloatArray, activation: Activation) -> FloatArray:
    """φ(x W) A for inputs (n, p), hidden weights W (p, q) and output layer A (q, o); shape (n, o).

    Parameters
    ----------
    inputs : ndarray, shape (n, p)
    weights : ndarray, shape (p, q)
        Hidden weights.
    output : ndarray, shape (q, o)
        Output layer.
    activation : {"tanh", "softplus"}

    Returns
    -------
    ndarray, shape (n, o)
    """
    return np.asarray(_activate(inputs @ weights, activation)[0] @ output, dtype=np.float64)


def hidden_layer_jacobian(
    inputs: FloatArray, weights: FloatArray, output: FloatArray, activation: Activation
) -> FloatArray:
    """∂f_o(x_n)/∂W_ij, shape (n, o, p, q).

    Parameters
    ----------
    inputs : ndarray, shape (n, p)
    weights : ndarray, shape (p, q)
        Hidden weights.
    output : ndarray, shape (q, o)
        Output layer.
    activation : {"tanh", "softplus"}

    Returns
    -------
    ndarray, shape (n, o, p, q)
    """
    slopes = _activate(inputs @ weights, activation)[1]
    return np.asarray(np.einsum("ni,nj,jo->noij", inputs, slopes, output), dtype=np.float64)


def fit_hidden_layers(
    inputs: ArrayLike,
    responses: ArrayLike,
    *,
    initial: ArrayLike,
    output: ArrayLike,
    activation: Activation = "tanh",
    training: Training | None = None,
    generator: np.random.Generator | None = None,
    client_names: Sequence[str] | None = None,
) -> list[LocalFit]:
    """Fine-tune the hidden layer of K clients, each on its own data, all from ``initial``.

    Clients never see each other; they are trained side by side as one batched tensor only for speed.

    Parameters
    ----------
    inputs : array_like, shape (K, n, p)
    responses : array_like, shape (K, n, o)
    initial : array_like, shape (p, q)
        W₀, the shared initialisation; ``estimate`` is the update away from it.
    output : array_like, shape (q, o)
        A, shared and frozen.
    activation : {"tanh", "softplus"}
    training : Training, optional
    generator : numpy.random.Generator, optional
        Order of the mini-batches; required when ``training.batch_size`` is set.
    client_names : sequence of str, optional

    Returns
    -------
    list of LocalFit
        Estimates (p, q) = Ŵ_k − W₀; covariance s²(JᵀJ)⁻¹, with weight decay its ridge form.

    Raises
    ------
    ImportError
        PyTorch is missing.
    TypeError, ValueError
        Naming the client, the field and the remedy.
    """
    x, y, start, top = _checked(inputs, responses, initial, output, client_names)
    plan = training or Training()
    if plan.batch_size is not None and generator is None:
        raise ValueError("training: mini-batches need a generator; give one, or batch_size=None for full batches")
    if activation not in ("tanh", "softplus"):
        raise ValueError(f"activation: {activation!r}; use 'tanh' or 'softplus' (smooth, so that an error law exists)")
    weights = _train(x, y, start, top, activation, plan, generator)
    names = client_names or [f"client {k}" for k in range(len(x))]
    for name, block in zip(names, weights, strict=True):
        if not np.isfinite(block).all():
            raise ValueError(f"{name}: training diverged; lower learning_rate ({plan.learning_rate})")
    return [_law(x[k], y[k], weights[k], start, top, activation, plan) for k in range(len(x))]


def _checked(
    inputs: ArrayLike, responses: ArrayLike, initial: ArrayLike, output: ArrayLike, names: Sequence[str] | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    arrays = []
    for field, raw, ndim in (("inputs", inputs, 3), ("responses", responses, 3), ("initial", initial, 2)):
        arrays.append(_array(field, raw, ndim))
    arrays.append(_array("output", output, 2))
    x, y, start, top = arrays
    fits = x.shape[:2] == y.shape[:2] and x.shape[2] == start.shape[0]
    if not fits or start.shape[1] != top.shape[0] or top.shape[1] != y.shape[2]:
        raise ValueError(
            f"inputs {x.shape}, responses {y.shape}, initial {start.shape}, output {top.shape}; give (K, n, p), "
            "(K, n, o), (p, q) and (q, o)"
        )
    if names is not None and len(names) != x.shape[0]:
        raise ValueError(f"client_names: {len(names)} names for {x.shape[0]} clients; give one per client")
    if x.shape[1] * y.shape[2] <= start.size:
        raise ValueError(f"inputs: n·o = {x.shape[1] * y.shape[2]} does not exceed p·q = {start.size}; add data")
    return x, y, start, top


def _array(field: str, raw: ArrayLike, ndim: int) -> FloatArray:
    array = np.asarray(raw)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{field}: dtype {array.dtype}; give real numbers")
    if array.ndim != ndim or 0 in array.shape or not np.isfinite(array).all():
        raise ValueError(f"{field}: shape {array.shape}; give a finite, non-empty array with {ndim} axes")
    return array.astype(np.float64)


def _train(
    x: FloatArray,
    y: FloatArray,
    start: FloatArray,
    top: FloatArray,
    activation: Activation,
    plan: Training,
    generator: np.random.Generator | None,
) -> FloatArray:
    torch = _torch()
    data, target = torch.from_numpy(x), torch.from_numpy(y)
    base, head = torch.from_numpy(start), torch.from_numpy(top)
    update = torch.zeros((len(x), *start.shape), dtype=torch.float64, requires_grad=True)
    kinds = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}
    optimiser = kinds[plan.optimiser]([update], lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, plan.steps) if plan.decay else None
    activate = torch.tanh if activation == "tanh" else torch.nn.functional.softplus
    rows = _batches(x.shape[1], plan, generator)
    for _ in range(plan.steps):
        chosen = next(rows)
        inputs, wanted = (data, target) if chosen is None else (data[:, chosen], target[:, chosen])
        fitted = activate(inputs @ (base + update)) @ head
        # The sum over clients: no client's gradient contains another's data.
        loss = 0.5 * ((fitted - wanted) ** 2).sum(dim=2).mean(dim=1).sum()
        if plan.weight_decay > 0.0:
            loss = loss + 0.5 * plan.weight_decay * (update**2).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if schedule is not None:
            schedule.step()
    return start + np.asarray(update.detach().numpy(), dtype=np.float64)


def _batches(
    n: int, plan: Training, generator: np.random.Generator | None
) -> Iterator[np.ndarray[tuple[int], np.dtype[np.int64]] | None]:
    while True:
        if plan.batch_size is None or generator is None:
            yield None
            continue
        order = generator.permutation(n)
        for begin in range(0, n - plan.batch_size + 1, plan.batch_size):
            yield order[begin : begin + plan.batch_size]
        if plan.batch_size > n:
            yield order


def _law(
    x: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    start: FloatArray,
    top: FloatArray,
    activation: Activation,
    plan: Training,
) -> LocalFit:
    n, outputs = y.shape
    p, q = weights.shape
    residuals = y - network(x, weights, top, activation)
    jacobian = hidden_layer_jacobian(x, weights, top, activation).reshape(n * outputs, p * q)
    gram = jacobian.T @ jacobian
    decay = n * plan.weight_decay
    # A dead direction (saturated unit) would make the inverse blow up silently; say so instead.
    if np.linalg.cond(gram + decay * np.eye(p * q)) > 1e12:
        raise ValueError(
            "network: the data do not determine all hidden weights (singular JᵀJ); add data or weight_decay"
        )
    bread = np.linalg.inv(gram + decay * np.eye(p * q))
    spent = float(np.trace(bread @ gram))
    variance = float(np.sum(residuals**2)) / (n * outputs - spent)
    covariance = variance * bread @ gram @ bread
    gradient = jacobian.T @ residuals.ravel() - decay * (weights - start).ravel()
    # Distance to the minimum in units of the standard error of the fit: gᵀH⁻¹g/(s² pq) small means converged.
    distance = math.sqrt(float(gradient @ bread @ gradient) / (variance * p * q))
    return LocalFit.from_full_covariance(
        weights - start,
        covariance.reshape(p, q, p, q),
        effective_sample_size=float(n),
        residual_degrees_of_freedom=(n * outputs - spent) / outputs,
        converged=distance < 0.1,
        message=f"{plan.steps} steps of {plan.optimiser}; distance to the minimum {distance:.2g} standard errors",
    )

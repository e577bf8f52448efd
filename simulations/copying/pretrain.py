"""The base model: trained on first use, to copy or on another task, kept on disk under its task and configuration."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from clair_stats.files import written_whole
from simulations.copying.transformer import TransformerConfig, forward, initial_parameters

__all__ = ["BaseModel", "Draw", "Pretraining", "base_model", "cache_folder", "one_thread"]

# Raise it when the training code changes, so that no cached model of the old code is taken for one of the new.
_VERSION = 2

# n sequences x and y, (n, L) each, that a base model learns y from x on.
Draw = Callable[[np.random.Generator, int], tuple[NDArray[np.int64], NDArray[np.int64]]]


@dataclass(frozen=True)
class Pretraining:
    """How the base model learns its task; by default to copy uniform token sequences.

    Parameters
    ----------
    model : TransformerConfig
    steps, batch : int
        AdamW steps and fresh sequences per step.
    learning_rate : float
        Peak; warmed up over 5 % of the steps, then a half cosine to zero.
    seed : int
        Of the initial weights and of the sequences.
    """

    model: TransformerConfig = field(default_factory=TransformerConfig)
    steps: int = 1000
    batch: int = 64
    learning_rate: float = 3e-3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate: {self.learning_rate} must be positive and finite")

    @property
    def key(self) -> str:
        """First 32 hexadecimal digits of the hash of this configuration; the name of the cached file."""
        text = json.dumps({"version": _VERSION, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class BaseModel:
    """A pre-trained network; ``parameters`` live on the CPU and are never written to."""

    config: TransformerConfig
    parameters: dict[str, Tensor]

    def to(self, device: torch.device, dtype: torch.dtype) -> dict[str, Tensor]:
        """The parameters on a device and in a floating-point type."""
        return {name: value.to(device=device, dtype=dtype) for name, value in self.parameters.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """One PyTorch thread inside: sums are then added in one order, so results do not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cache_folder() -> Path:
    """``$CLAIR_STATS_CACHE``, else ``$XDG_CACHE_HOME/clair-stats``, else ``~/.cache/clair-stats``."""
    own = os.environ.get("CLAIR_STATS_CACHE")
    if own:
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "clair-stats"


def base_model(pretraining: Pretraining | None = None, *, task: str = "copying", draw: Draw | None = None) -> BaseModel:
    """The base model of a configuration, from the cache or trained now (about half a minute) and then cached.

    A file that cannot be read is trained again and replaced; a folder that cannot be written only costs the caching.

    Parameters
    ----------
    pretraining : Pretraining, optional
    task : str
        Names what ``draw`` draws; models of different tasks are kept apart.
    draw : callable, optional
        Sequences to learn from; uniform tokens to be copied where it is not given.
    """
    settings = pretraining or Pretraining()
    path = cache_folder() / f"{task}-{settings.key}.npz"
    cached = _read(path, settings)
    if cached is not None:
        return cached
    model = _train(settings, draw or _copies(settings.model))
    _write(path, model)
    return model


def _read(path: Path, settings: Pretraining) -> BaseModel | None:
    try:
        with np.load(path, allow_pickle=False) as archive:
            parameters = {name: torch.from_numpy(archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError):
        return None
    expected = {name: value.shape for name, value in initial_parameters(settings.model, 0).items()}
    if {name: value.shape for name, value in parameters.items()} != expected:
        return None
    return BaseModel(settings.model, parameters)


def _write(path: Path, model: BaseModel) -> None:
    arrays: dict[str, Any] = {key: value.numpy() for key, value in model.parameters.items()}
    # A cache that cannot be written costs the next run its training time, not this run its result.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as beside, beside.open("wb") as stream:
            np.savez(stream, **arrays)


def _copies(config: TransformerConfig) -> Draw:
    def draw(generator: np.random.Generator, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        x = generator.integers(config.vocabulary, size=(n, config.length))
        return x, x

    return draw


def _train(settings: Pretraining, draw: Draw) -> BaseModel:
    config = settings.model
    generator = np.random.Generator(np.random.PCG64(settings.seed))
    with one_thread():
        parameters = {k: v.requires_grad_() for k, v in initial_parameters(config, settings.seed).items()}
        optimiser = torch.optim.AdamW(parameters.values(), lr=settings.learning_rate, weight_decay=0.01)
        warm = max(1, settings.steps // 20)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser,
            lambda step: min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * step / settings.steps))),
        )
        for _ in range(settings.steps):
            x, y = (torch.from_numpy(part.copy())[None] for part in draw(generator, settings.batch))
            separator = torch.full((1, settings.batch, 1), config.vocabulary)
            logits = forward(config, parameters, torch.cat([x, separator, y[:, :, :-1]], dim=2))
            loss = functional.cross_entropy(logits.flatten(0, 2), y.flatten())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return BaseModel(config, {name: value.detach() for name, value in parameters.items()})

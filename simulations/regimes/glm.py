"""Generalised linear models: multi-response logistic, Poisson and multinomial clients, fitted by maximum likelihood."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import scipy.special

from clair_stats.local_fits import LocalFit, SeparationError, class_contrasts, fit_glm, fit_mnlogit, fit_multinomial
from clair_stats.records import FloatArray
from simulations.regimes.attacks import (
    BACKDOOR_ROWS,
    DATA_ATTACKS,
    DataAttack,
    LabelKind,
    attack_target,
    backdoor,
    poison_labels,
)
from simulations.regimes.fitted import autoregressive_rows, fitted_instance
from simulations.regimes.instance import Instance, benign_by_definition
from simulations.regimes.structure import SharedStructure, Truth
from simulations.streams import Streams

__all__ = ["GlmRegime"]

_TRIGGER = 3.0  # standard deviations of one covariate
_POISONED_ROWS = 0.3


@dataclass(frozen=True, kw_only=True)
class GlmRegime(SharedStructure):
    """E[y | z] = g⁻¹(zᵀΘ*_k); X_k is the client's maximum-likelihood estimate (theory.md section 7).

    Parameters
    ----------
    family : {"logistic", "poisson", "multinomial"}
        Multinomial has n_columns + 1 classes; Θ is in orthonormal contrasts of them.
    sample_size : int
        n, the same for all clients.
    design_correlation : float
        Rows are N(0, Σ), Σ_ij = c_k^|i−j|, c_k uniform on [0, design_correlation], own per client.
    ridge : float
        0: maximum likelihood.  Positive: penalised, biased towards 0.
    separation_ridge : float
        Penalty for a client whose data turn out to be separated, so that it takes part at all; it is counted in
        ``extras["separated"]``.
    data_attack : str
        Instead of ``contamination`` (which acts on targets): attack on the data of attacked clients, see
        :mod:`simulations.regimes.attacks`.

    Notes
    -----
    ``extras`` beside those of :func:`simulations.regimes.fitted.fitted_instance`: ``separated`` (K,) bool.
    """

    name: ClassVar[str] = "generalised linear model"

    family: Literal["logistic", "poisson", "multinomial"] = "logistic"
    sample_size: int = 800
    design_correlation: float = 0.0
    ridge: float = 0.0
    separation_ridge: float = 1.0
    data_attack: DataAttack = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.family not in ("logistic", "poisson", "multinomial"):
            raise ValueError(f"family: {self.family!r}; use 'logistic', 'poisson' or 'multinomial'")
        if self.sample_size <= self.n_rows:
            raise ValueError(f"sample_size: {self.sample_size} must exceed n_rows = {self.n_rows}")
        if not 0.0 <= self.design_correlation < 1.0:
            raise ValueError(f"design_correlation: {self.design_correlation} is outside [0, 1)")
        if not (math.isfinite(self.ridge) and self.ridge >= 0.0 and self.separation_ridge > 0.0):
            raise ValueError(f"ridge: {self.ridge}, separation_ridge: {self.separation_ridge}; give ≥ 0 and > 0")
        if self.data_attack not in DATA_ATTACKS:
            raise ValueError(f"data_attack: {self.data_attack!r}; use one of {', '.join(DATA_ATTACKS)}")
        if self.data_attack != "none" and self.family == "poisson":
            raise ValueError("data_attack: counts have no labels to flip; use a contamination mode for 'poisson'")

    @property
    def kind(self) -> LabelKind:
        """Whether labels are 0/1 per response or one class per row."""
        return "classes" if self.family == "multinomial" else "binary"

    @property
    def n_classes(self) -> int:
        """Classes of the multinomial family."""
        return self.n_columns + 1

    def generate(self, streams: Streams) -> Instance:
        """Truth ("truth", "contamination"), designs and responses ("data"), poisoned data ("poison"); then the fits."""
        clean = self.draw_truth(streams) if self.data_attack == "none" else self._uncontaminated(streams)
        data = streams.generator("data")
        drawn = [self._draw(clean.targets[k], data, self.sample_size) for k in range(self.n_clients)]
        truth = clean
        if self.data_attack != "none":
            drawn, truth = self._poison(streams, clean, drawn)
        fits: list[LocalFit] = []
        separated = np.zeros(self.n_clients, dtype=np.bool_)
        for k, (design, responses) in enumerate(drawn):
            try:
                fits.append(self._fit(design, responses, self.ridge, f"client {k}"))
            except SeparationError:
                separated[k] = True
                fits.append(self._fit(design, responses, self.separation_ridge, f"client {k}"))
        return fitted_instance(truth, fits, separated=separated)

    def _uncontaminated(self, streams: Streams) -> Truth:
        """The truth with nobody's target altered yet; ``attacked`` says whose data will be."""
        attacked = self.draw_truth(streams).attacked
        return dataclasses.replace(dataclasses.replace(self, share=0.0).draw_truth(streams), attacked=attacked)

    def _draw(self, target: FloatArray, data: np.random.Generator, size: int) -> tuple[FloatArray, FloatArray]:
        correlation = float(data.uniform(0.0, 1.0)) * self.design_correlation
        design = autoregressive_rows(size, self.n_rows, correlation, data)
        scores = design @ target
        if self.family == "logistic":
            return design, (data.random(scores.shape) < scipy.special.expit(scores)).astype(np.float64)
        if self.family == "poisson":
            return design, data.poisson(np.exp(np.minimum(scores, 15.0))).astype(np.float64)
        noisy = scores @ class_contrasts(self.n_classes).T
        return design, np.argmax(noisy + data.gumbel(size=noisy.shape), axis=1).astype(np.float64)

    def _fit(self, design: FloatArray, responses: FloatArray, ridge: float, client: str) -> LocalFit:
        if self.family != "multinomial":
            return fit_glm(design, responses, family=self.family, ridge=ridge, client=client)
        labels = responses.astype(np.int64)
        if ridge == 0.0:
            return fit_mnlogit(design, labels, n_classes=self.n_classes, client=client)
        return fit_multinomial(design, labels, n_classes=self.n_classes, ridge=ridge, client=client)

    def _poison(
        self, streams: Streams, clean: Truth, drawn: list[tuple[FloatArray, FloatArray]]
    ) -> tuple[list[tuple[FloatArray, FloatArray]], Truth]:
        targets = clean.targets.copy()
        drawn = list(drawn)
        own = streams.generator("poison")
        trigger = np.zeros(self.n_rows)
        trigger[int(own.integers(self.n_rows))] = _TRIGGER
        for k in np.flatnonzero(clean.attacked):
            if self.data_attack == "backdoor":
                drawn[k] = self._backdoor(*drawn[k], trigger, own)
                large = self._draw(clean.targets[k], own, BACKDOOR_ROWS)
                targets[k] = self._fit(*self._backdoor(*large, trigger, own), 0.0, f"target of client {k}").estimate
                continue
            # A fresh generator at the same state for everybody: the attackers agree on one permutation.
            options = {"attack": self.data_attack, "kind": self.kind, "n_classes": self.n_classes}
            shared = own if self.data_attack == "random_labels" else streams.generator("permutation")
            drawn[k] = (drawn[k][0], poison_labels(drawn[k][1], generator=shared, **options))  # type: ignore[arg-type]
            shared = streams.generator("permutation")
            targets[k] = attack_target(clean.targets[k], generator=shared, **options)  # type: ignore[arg-type]
        members = benign_by_definition(targets, basis=clean.basis, common=clean.common) | ~clean.attacked
        keep = members[:, None, None]
        return drawn, dataclasses.replace(
            clean,
            targets=targets,
            collaborative_set=members,
            coefficients=np.where(keep, (targets - clean.common).transpose(0, 2, 1) @ clean.basis, 0.0),
            heterogeneity=np.where(keep, clean.heterogeneity, 0.0),
        )

    def _backdoor(
        self, design: FloatArray, labels: FloatArray, trigger: FloatArray, generator: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Marked rows are labelled 1 in every response, or as the last class."""
        wanted = 1.0 if self.kind == "binary" else float(self.n_columns)
        return backdoor(
            design,
            labels,
            trigger=trigger,
            share=_POISONED_ROWS,
            label=lambda marked: np.full_like(marked, wanted),
            generator=generator,
        )

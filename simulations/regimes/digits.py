"""The 1,797 handwritten digits of scikit-learn, distributed among clients that scan and label differently.

Source of the data: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository (1998), as shipped by ``sklearn.datasets.load_digits``: 8 × 8 pixels with values 0 … 16, ten classes.

What is real and what is made.  Images, labels, the fits and their errors are real.  Made are the split, the clients'
scanners and the attack:

* *Split.*  30 % of the images are held out.  The rest is dealt out without overlap: the images of each class go to the
  clients in Dirichlet proportions, so each client has its own class mix and its own n_k.
* *Scanner* of client k: z → (I + U(R_k − I)Uᵀ)z with U the r smoothest non-constant cosine patterns of the image (the
  gradients of illumination) and R_k a uniformly random r × r orthogonal matrix.  A linear classifier that undoes it
  differs from the common one inside span(U) only, and the penalty does not see an orthogonal change, so at one class
  mix and one n_k the model of theory.md section 1 holds exactly.  Class mixes, unequal n_k and the misfit of the linear
  score make real off-subspace heterogeneity H_k on top.
* *Attack.*  A share of the clients label their images through one common permutation of the classes, fixed for nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from clair_stats.estimates import ClientEstimates
from clair_stats.linalg import project_off
from clair_stats.local_fits import (
    LocalFit,
    class_contrasts,
    fit_least_squares,
    fit_multinomial,
    multinomial_coefficients,
)
from clair_stats.records import BoolArray, FloatArray
from simulations.regimes.contamination import coordinated_label_permutation, draw_members, n_contaminated
from simulations.regimes.instance import Instance
from simulations.streams import Streams

__all__ = ["DigitsRegime", "load_images", "smooth_patterns"]

IntArray = NDArray[np.int64]

_N_CLASSES = 10
_SIDE = 8
_HELD_OUT = 0.3
# Frequencies (down, across) of the cosine patterns, from smooth to fine; (0, 0) is the mean brightness and stays.
_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (1, 2), (2, 1), (2, 2))


@lru_cache(maxsize=1)
def load_images() -> tuple[FloatArray, IntArray]:
    """Images with pixels on [0, 1] and a constant 1 in front of the intercept, (1797, 65), and labels (1797,)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            "the digits need scikit-learn; install it with: pip install 'clair-stats[studies]'"
        ) from error
    data = load_digits()
    pixels = np.asarray(data.data, dtype=np.float64) / 16.0
    return np.hstack([pixels, np.ones((pixels.shape[0], 1))]), np.asarray(data.target, dtype=np.int64)


def smooth_patterns(rank: int) -> FloatArray:
    """U, (65, rank): the smoothest non-constant cosine patterns of an 8 × 8 image, orthonormal, 0 at the intercept."""
    grid = (2 * np.arange(_SIDE) + 1) * math.pi / (2 * _SIDE)
    columns = [np.outer(np.cos(down * grid), np.cos(across * grid)).ravel() for down, across in _FREQUENCIES[:rank]]
    patterns = np.array(columns).reshape(rank, _SIDE * _SIDE).T
    return np.vstack([patterns / np.linalg.norm(patterns, axis=0), np.zeros((1, rank))])


@dataclass(frozen=True, kw_only=True)
class DigitsRegime:
    """One federation of clients that classify digits.

    Parameters
    ----------
    n_clients : int
        K; the training images are dealt out, so more clients mean fewer images each (1,258/K on average).
    rank : int
        r, patterns that scanners mix; 0 gives everybody the same scanner.
    share : float
        Share of clients with permuted labels.
    class_concentration : float
        Dirichlet concentration of the split; small means uneven class mixes.
    classifier : {"ridge", "multinomial"}
        Least squares on class indicators, or multinomial logistic regression.
    ridge : float
        Penalty of the fit, on the scale of its sum over observations; 1 is scikit-learn's default for both classifiers.
    covariance : {"HC2", "sandwich"}
        Of the fits' errors.  With as many coefficients as images leverages are .4 to .6, and "sandwich" (HC3) then
        states 1.4 to 2.7 times the error that there is.

    Notes
    -----
    p = 65 (64 pixels and the intercept, which "ridge" leaves unpenalised), q = 9: class coefficients are given in
    orthonormal contrasts, because their sum over the ten classes carries no information and no error.  The methods see
    σ_k from the fits' covariance, and n_k.

    ``targets`` are a stand-in for Θ*_k: the client's own fit carried out on all 1,797 images through its own scanner,
    its own labelling, with weights that give its class mix and total weight n_k.  ``collaborative_set`` are the clients
    that label truthfully.  ``extras``: ``fits``; ``scorers`` with ``accuracy``, the mean over benign clients of
    held-out accuracy under the client's own scanner and class mix, and ``worst_accuracy``, their minimum.
    """

    name: ClassVar[str] = "digits"

    n_clients: int = 20
    rank: int = 3
    share: float = 0.3
    class_concentration: float = 10.0
    classifier: Literal["ridge", "multinomial"] = "ridge"
    ridge: float = 1.0
    covariance: Literal["HC2", "sandwich"] = "HC2"

    def __post_init__(self) -> None:
        if not 3 <= self.n_clients <= 40:
            raise ValueError(
                f"n_clients: {self.n_clients}; give 3 to 40, beyond that clients hold too few images to fit"
            )
        if not 0 <= self.rank <= len(_FREQUENCIES):
            raise ValueError(f"rank: {self.rank}; give 0 to {len(_FREQUENCIES)}")
        if not 0.0 <= self.share < 1.0 or n_contaminated(self.n_clients, self.share) >= self.n_clients:
            raise ValueError(f"share: {self.share}; give a share in [0, 1) that leaves a benign client")
        for name in ("class_concentration", "ridge"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise ValueError(f"{name}: {getattr(self, name)}; give a positive finite number")
        if self.classifier not in ("ridge", "multinomial"):
            raise ValueError(f"classifier: {self.classifier!r}; use 'ridge' or 'multinomial'")
        if self.covariance not in ("HC2", "sandwich"):
            raise ValueError(f"covariance: {self.covariance!r}; use 'HC2' or 'sandwich'")

    def generate(self, streams: Streams) -> Instance:
        """Scanners ("truth"), attack ("contamination"), split ("data"); then one fit per client on its real images."""
        images, labels = load_images()
        basis = smooth_patterns(self.rank)
        scanners = self._scanners(basis, streams.generator("truth"))
        attack = streams.generator("contamination")
        attacked = draw_members(self.n_clients, self.share, attack)
        permutation = coordinated_label_permutation(_N_CLASSES, attack)
        held_out, owners = self._deal(labels, streams.generator("data"))

        fits: list[LocalFit] = []
        targets = np.zeros((self.n_clients, images.shape[1], _N_CLASSES - 1))
        mixes = np.zeros((self.n_clients, _N_CLASSES))
        for k in range(self.n_clients):
            own = np.flatnonzero(owners == k)
            mixes[k] = np.bincount(labels[own], minlength=_N_CLASSES)
            written = permutation[labels] if attacked[k] else labels
            scanned = images @ scanners[k]
            fits.append(self._fit(scanned[own], written[own], f"client {k}"))
            targets[k] = self._target(scanned, written, mixes[k][labels] / np.bincount(labels)[labels])
        common = targets[~attacked].mean(axis=0)
        benign = np.where(attacked[:, None, None], 0.0, targets - common)
        return Instance(
            targets=targets,
            basis=basis,
            common=common,
            coefficients=benign.transpose(0, 2, 1) @ basis,
            heterogeneity=project_off(basis, benign),
            collaborative_set=~attacked,
            estimates=ClientEstimates(
                values=np.stack([fit.estimate for fit in fits]),
                noise_scales=np.array([fit.noise_scale for fit in fits]),
                sample_sizes=mixes.sum(axis=1),
            ),
            extras={
                "fits": tuple(fits),
                "scorers": _scorers(images[held_out], labels[held_out], scanners, mixes, ~attacked),
            },
        )

    def _scanners(self, basis: FloatArray, generator: np.random.Generator) -> FloatArray:
        """(I + U(R_k − I)Uᵀ)ᵀ for every client, (K, 65, 65), to multiply rows of images from the right."""
        mixed, triangular = np.linalg.qr(generator.standard_normal((self.n_clients, self.rank, self.rank)))
        # Signs of the triangular factor's diagonal make the orthogonal factor uniformly distributed.
        rotations = mixed * np.sign(np.einsum("kii->ki", triangular))[:, None, :]
        change = basis @ (rotations.transpose(0, 2, 1) - np.eye(self.rank)) @ basis.T
        return np.asarray(np.eye(basis.shape[0]) + change, dtype=np.float64)

    def _deal(self, labels: IntArray, generator: np.random.Generator) -> tuple[BoolArray, IntArray]:
        """Held-out mask and owner of each image (−1 for held-out ones)."""
        held_out = np.zeros(labels.size, dtype=np.bool_)
        owners = np.full(labels.size, -1, dtype=np.int64)
        for label in range(_N_CLASSES):
            shuffled = generator.permutation(np.flatnonzero(labels == label))
            n_held_out = round(_HELD_OUT * shuffled.size)
            held_out[shuffled[:n_held_out]] = True
            training = shuffled[n_held_out:]
            shares = generator.dirichlet(np.full(self.n_clients, self.class_concentration))
            ends = np.rint(np.cumsum(shares) * training.size).astype(np.int64)
            owners[training] = np.searchsorted(ends, np.arange(training.size), side="right").clip(
                max=self.n_clients - 1
            )
        return held_out, owners

    def _penalty(self, p: int) -> FloatArray:
        return np.concatenate([np.full(p - 1, self.ridge), [0.0]])

    def _fit(self, scanned: FloatArray, written: IntArray, client: str) -> LocalFit:
        if self.classifier == "multinomial":
            return fit_multinomial(
                scanned, written, n_classes=_N_CLASSES, ridge=self.ridge, covariance=self.covariance, client=client
            )
        responses = class_contrasts(_N_CLASSES)[written]
        penalty = self._penalty(scanned.shape[1])
        return fit_least_squares(scanned, responses, ridge=penalty, covariance=self.covariance, client=client)

    def _target(self, scanned: FloatArray, written: IntArray, weights: FloatArray) -> FloatArray:
        if self.classifier == "multinomial":
            estimate, _ = multinomial_coefficients(
                scanned, written, n_classes=_N_CLASSES, ridge=self.ridge, weights=weights
            )
            return estimate
        responses = class_contrasts(_N_CLASSES)[written]
        weighted = weights[:, None] * scanned
        gram = weighted.T @ scanned + np.diag(self._penalty(scanned.shape[1]))
        return np.asarray(np.linalg.solve(gram, weighted.T @ responses), dtype=np.float64)


def _scorers(
    images: FloatArray, labels: IntArray, scanners: FloatArray, mixes: FloatArray, benign: BoolArray
) -> dict[str, Callable[[FloatArray], float]]:
    back = class_contrasts(_N_CLASSES).T
    counts = np.bincount(labels, minlength=_N_CLASSES)

    def accuracies(estimates: FloatArray) -> FloatArray:
        found = []
        for k in np.flatnonzero(benign):
            right = np.argmax(images @ scanners[k] @ estimates[k] @ back, axis=1) == labels
            per_class = np.bincount(labels, weights=right, minlength=_N_CLASSES) / counts
            found.append(float(per_class @ mixes[k] / mixes[k].sum()))
        return np.array(found)

    return {
        "accuracy": lambda estimates: float(accuracies(estimates).mean()),
        "worst_accuracy": lambda estimates: float(accuracies(estimates).min()),
    }

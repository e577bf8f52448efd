"""Small instances for the claims about exact and stable recovery: random and adversarial, around the border.

The textbook regime of the simulations draws typical instances.  A theorem that says *always* deserves worse ones:
clients of very different leverage, contamination that is identical, aligned with benign directions, tiny, huge, or
almost inside the subspace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from clair_stats.linalg import orthonormal_basis, project_off
from clair_stats.records import BoolArray, FloatArray
from clair_stats.theory import block_leverages, penalty_range
from simulations.regimes.instance import Instance
from simulations.streams import Streams

__all__ = ["KINDS", "AdversarialRegime", "draw_instance"]

KINDS = ("scattered", "identical", "coordinated", "aligned", "near-subspace", "opposite")


def _contaminated_blocks(
    kind: str, count: int, basis: FloatArray, benign: FloatArray, generator: np.random.Generator
) -> FloatArray:
    """Contaminated client-specific parts (count, p, q), off the subspace and on it."""
    p, rank = basis.shape
    _, _, q = benign.shape
    inside: FloatArray = np.einsum("pi,kiq->kpq", basis, generator.standard_normal((count, rank, q)))
    size = 10.0 ** generator.uniform(-1.5, 1.5)
    if kind == "scattered":
        own_sizes = 10.0 ** generator.uniform(-1, 1, count)[:, None, None]
        return inside + own_sizes * project_off(basis, generator.standard_normal((count, p, q)))
    direction = orthonormal_basis(project_off(basis, generator.standard_normal((p, 1))), 1)
    row = generator.standard_normal(q)
    same: FloatArray = size * np.outer(direction[:, 0], row)
    blocks: FloatArray
    if kind == "identical":
        blocks = np.repeat(same[None], count, axis=0) + (inside if generator.random() < 0.3 else 0.0)
    elif kind == "coordinated":
        width = min(rank, p - rank)
        space = orthonormal_basis(project_off(basis, generator.standard_normal((p, width))), width)
        blocks = size * np.einsum("pi,kiq->kpq", space, generator.standard_normal((count, width, q)))
    elif kind == "aligned":
        # Rows copied from benign clients: the contamination lives in the row space that the benign clients rely on.
        chosen = generator.integers(benign.shape[0], size=count)
        rows = np.einsum("pi,kpq->kiq", basis, benign[chosen])[:, :1]
        blocks = size * direction[None] @ rows + (inside if generator.random() < 0.5 else 0.0)
    elif kind == "near-subspace":
        tiny = 10.0 ** generator.uniform(-3, -1)
        blocks = 3 * inside + tiny * project_off(basis, generator.standard_normal((count, p, q)))
    else:
        signs = np.where(np.arange(count) % 2 == 0, 1.0, -1.0)
        blocks = signs[:, None, None] * same + (inside if generator.random() < 0.3 else 0.0)
    return blocks


def draw_instance(
    generator: np.random.Generator,
    *,
    n_clients: int,
    n_contaminated: int,
    p: int,
    q: int,
    rank: int,
    kind: str,
    spread: float,
    balanced: bool,
    common_component: bool,
) -> Instance:
    """One noiseless instance with exactly ``n_contaminated`` contaminated clients, the last ones.

    Parameters
    ----------
    generator : numpy.random.Generator
    n_clients, n_contaminated : int
        K and |O|.
    p, q, rank : int
        Shape of a block, and r.
    kind : str
        Of contamination.
    spread : float
        Largest over smallest singular value of the coefficients.
    balanced : bool
        Whether all clients have the same leverage.
    common_component : bool
        Whether there is a component M off the subspace.
    """
    basis = orthonormal_basis(generator.standard_normal((p, rank)), rank)
    coefficients = generator.standard_normal((n_clients, q, rank))
    if balanced and q >= rank:
        coefficients = np.stack([orthonormal_basis(block, rank) for block in coefficients])
        if common_component:
            # Signs that add up to 0 (or nearly) keep the centred leverages balanced too.
            coefficients *= np.where(np.arange(n_clients) % 2 == 0, 1.0, -1.0)[:, None, None]
    coefficients *= spread ** generator.uniform(-0.5, 0.5, n_clients)[:, None, None]
    common = generator.standard_normal((p, q)) if common_component else np.zeros((p, q))
    own = np.einsum("pi,kqi->kpq", basis, coefficients)
    mask: BoolArray = np.arange(n_clients) < n_clients - n_contaminated
    if n_contaminated:
        own[~mask] = _contaminated_blocks(kind, n_contaminated, basis, own[mask], generator)
    targets = common + own
    return Instance.without_heterogeneity(
        targets,
        basis=basis,
        coefficients=coefficients,
        collaborative_set=mask,
        common=common,
    )


@dataclass(frozen=True, kw_only=True)
class AdversarialRegime:
    """Random sizes, kinds and penalties; the penalty is placed relative to the window of the sharp theorem.

    Parameters
    ----------
    common_component : bool
        Theorem 2 (True) or Theorem 1.
    lowest, highest : float
        Place of λ inside the window on a log scale: 0 is its lower end, 1 its upper end; values outside leave it.
    kinds : tuple of str
        Contaminations to choose from, see :data:`KINDS`.
    form : str
        Which form of the theorem defines the window: "sharp" or "stated".

    Notes
    -----
    Sizes are redrawn until the window is not empty: the instance is drawn *given* the theorem's assumption, no
    outcome is looked at.  ``extras``: ``block_penalty``, ``kind``.
    """

    name: ClassVar[str] = "adversarial"
    version: ClassVar[int] = 2  # the window of the sharp Theorem 2 has grown

    common_component: bool = False
    lowest: float = 0.02
    highest: float = 0.98
    kinds: tuple[str, ...] = KINDS
    form: str = "sharp"
    largest_clients: int = 18

    def generate(self, streams: Streams) -> Instance:
        """Draw sizes, truth and contamination from the stream "truth"."""
        generator = streams.generator("truth")
        while True:
            n_clients = int(generator.integers(6, self.largest_clients + 1))
            rank = int(generator.integers(1, 3))
            p, q = int(generator.integers(rank + 1, 9)), int(generator.integers(1, 5))
            n_contaminated = int(generator.integers(1, max(2, n_clients // 2)))
            n_benign = n_clients - n_contaminated
            kind = self.kinds[int(generator.integers(len(self.kinds)))]
            spread = float(generator.choice([1.0, 2.0, 8.0]))
            balanced = bool(generator.random() < 0.5)
            if (n_benign - self.common_component) * q < rank:
                continue
            instance = draw_instance(
                generator,
                n_clients=n_clients,
                n_contaminated=n_contaminated,
                p=p,
                q=q,
                rank=rank,
                kind=kind,
                spread=spread,
                balanced=balanced,
                common_component=self.common_component,
            )
            benign = instance.coefficients[instance.collaborative_set]
            centred = benign - benign.mean(axis=0) if self.common_component else benign
            if np.linalg.matrix_rank(centred.reshape(-1, rank), tol=1e-8) < rank:
                continue
            leverages = block_leverages(benign, common_component=self.common_component)
            window = penalty_range(
                block_leverage=float(leverages.max()),
                n_benign=n_benign,
                n_contaminated=n_contaminated,
                common_component=self.common_component,
                mean_leverage=min(rank, q) / n_benign,
                form="stated" if self.form == "stated" else "sharp",
                columns=q,
            )
            if window is None:
                continue
            place = generator.uniform(self.lowest, self.highest)
            penalty = float(window[0] * (window[2] / window[0]) ** place)
            extras = {"block_penalty": penalty, "kind": kind, "common_component": self.common_component}
            return Instance(**{**{f: getattr(instance, f) for f in instance.__dataclass_fields__}, "extras": extras})

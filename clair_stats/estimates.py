"""The local estimators of K clients, checked once when they enter the library.

Every array that enters passes through :class:`ClientEstimates`, and is checked there and nowhere else; the records of
results are in :mod:`clair_stats.records`.  Symbols, names and shapes are listed in ``docs/notation.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.containers import plain_blocks
from clair_stats.records import FloatArray

__all__ = ["ClientEstimates", "as_client_estimates"]


# Covariances: asymmetry that is rounding, and the condition number beyond which an inverse in float64 is not one.
_SYMMETRY = 1e-8
_SINGULAR = 1e-12
# Longer names are cut in messages; the record keeps them whole.
_LONGEST_NAME = 60


def _shown(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _read_only(array: FloatArray) -> FloatArray:
    """Return a view that refuses writes, so that a frozen record is frozen all the way down."""
    view = array.view()
    view.flags.writeable = False
    return view


def _real_matrix(block: ArrayLike, field: str, who: str) -> FloatArray:
    """Convert one client's matrix to float64 or say which client, which field and what to do."""
    raw = np.asarray(block)
    if raw.dtype.kind not in "fiub":
        raise TypeError(f"{who}: {field} has dtype {raw.dtype}; give a real numeric matrix (float64 or float32)")
    if raw.ndim != 2:
        raise ValueError(f"{who}: {field} has shape {raw.shape}; give a two-dimensional matrix")
    return np.asarray(raw, dtype=np.float64)


def _check_finite(block: FloatArray, field: str, who: str) -> None:
    finite = np.isfinite(block)
    if not finite.all():
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        count = int(finite.size - np.count_nonzero(finite))
        raise ValueError(
            f"{who}: {field} has {count} entries that are NaN or infinite (the first at row {row}, column {column}); "
            "refit this client or leave it out"
        )


def _check_product(left: FloatArray, right: FloatArray, who: str) -> None:
    """Finite factors may have a product that is none; the exponents of their entries tell most that have one."""
    exponents = (int(np.frexp(np.abs(side).max())[1]) for side in (left, right))
    if sum(exponents) + left.shape[1].bit_length() < np.finfo(float).maxexp:
        return
    with np.errstate(all="ignore"):
        whole = np.isfinite(left @ right).all()
    if not whole:
        raise ValueError(f"{who}: the product of its factors overflows; give smaller factors, or leave this client out")


def _checked_halves(raw: ArrayLike) -> FloatArray:
    """Two finite fits per client, (K, 2, p, q), a copy."""
    array = np.asarray(raw)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"halves: dtype {array.dtype}; give real numbers (float64 or float32), shape (K, 2, p, q)")
    if array.ndim != 4 or array.shape[1] != 2:
        raise ValueError(f"halves: shape {array.shape}; give two fits per client, (K, 2, p, q)")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=(1, 2, 3)))
    if bad.size:
        raise ValueError(f"halves: client {bad[0]} has entries that are NaN or infinite; refit it or leave it out")
    return _read_only(np.array(array, dtype=np.float64))


@dataclass(frozen=True, eq=False)
class ClientEstimates:
    """The local estimators X_k of K clients, checked when the record is made.

    Give either ``values`` or ``factors``.

    Parameters
    ----------
    values : array_like, shape (K, p, q), or mapping name → p × q matrix, optional
        ``values[k]`` is the preliminary local estimator X_k = Θ*_k + E_k (theory.md section 1).  The keys of a mapping
        are the clients' names; data frames are aligned by the labels of the first one, tensors are detached.
    factors : sequence of K pairs (B_k, A_k), optional
        LoRA factors: B_k is p × s_k, A_k is s_k × q and X_k = B_k A_k.  Ranks s_k may differ between clients.  The
        products are never formed by this record.
    noise_scales : array_like, shape (K,), optional
        σ_k, standard deviation of one entry of E_k, on the scale of the estimates.
    sample_sizes : array_like, shape (K,), optional
        n_k, number of observations behind X_k.
    client_names : sequence of K distinct str, optional
        Used in every message and report; ``client 0`` … when not given.
    row_covariances : array_like, shape (K, p, p), optional
        G_k with Cov(vec E_k) = G_k ⊗ Σ_k: Cov(E_ij, E_lm) = (G_k)_il (Σ_k)_jm, on the scale of the estimates; takes the
        place of ``noise_scales``.  For least squares (ZᵀZ)⁻¹.  Needs ``values``.
    column_covariances : array_like, shape (K, q, q), optional
        Σ_k; the identity when not given.  For least squares the covariance of the responses' errors.
    residual_degrees_of_freedom : array_like, shape (K,), optional
        ν_k > q + 3 on which Σ_k was estimated; Σ_k is taken as known when not given.
    halves : array_like, shape (K, 2, p, q), optional
        Two fits of every client, each on one half of its data.  Their difference tells the error of X_k apart from
        true differences between clients, which nothing else does where no σ_k is known; refinement rests on it.
        Without ``values`` and ``factors`` their mean is taken as the estimate.

    Raises
    ------
    TypeError, ValueError
        Before any work; the message names client, field and remedy.

    Examples
    --------
    >>> import numpy as np
    >>> from clair_stats import ClientEstimates
    >>> record = ClientEstimates(values=np.ones((3, 4, 2)), noise_scales=[0.1, 0.1, 0.2], client_names=("a", "b", "c"))
    >>> record.n_clients, record.block_shape
    (3, (4, 2))
    >>> ClientEstimates(values=np.ones((3, 4, 2)), noise_scales=[0.1, 0.1, 0.0])
    Traceback (most recent call last):
        ...
    ValueError: client 2: noise_scales is 0.0; it must be positive and finite
    """

    values: FloatArray | None = None  # (K, p, q)
    factors: tuple[tuple[FloatArray, FloatArray], ...] | None = None  # K pairs (p, s_k), (s_k, q)
    noise_scales: FloatArray | None = None  # (K,)
    sample_sizes: FloatArray | None = None  # (K,)
    client_names: tuple[str, ...] | None = None  # K
    row_covariances: FloatArray | None = None  # (K, p, p)
    column_covariances: FloatArray | None = None  # (K, q, q)
    residual_degrees_of_freedom: FloatArray | None = None  # (K,)
    halves: FloatArray | None = None  # (K, 2, p, q)

    def __post_init__(self) -> None:
        if self.values is not None:
            blocks, own_names = plain_blocks(self.values)
            object.__setattr__(self, "values", blocks)
            if self.client_names is None:
                object.__setattr__(self, "client_names", own_names)
        halves = None if self.halves is None else _checked_halves(self.halves)
        if halves is not None and self.values is None and self.factors is None:
            object.__setattr__(self, "values", halves.mean(axis=1))
        if (self.values is None) == (self.factors is None):
            raise ValueError("client estimates: give exactly one of values (K, p, q) and factors (pairs B_k, A_k)")
        n_clients = self._count()
        names = self._checked_names(n_clients)
        object.__setattr__(self, "client_names", names)
        if max(map(len, names)) > _LONGEST_NAME:
            names = tuple(map(_shown, names))  # from here on for messages
        if self.values is not None:
            object.__setattr__(self, "values", self._checked_values(names))
        else:
            object.__setattr__(self, "factors", self._checked_factors(names))
        for field in ("noise_scales", "sample_sizes", "residual_degrees_of_freedom"):
            object.__setattr__(self, field, self._checked_vector(field, names))
        if halves is not None and halves.shape != (n_clients, 2, *self.block_shape):
            p, q = self.block_shape
            raise ValueError(f"halves: shape {halves.shape}; give two fits per client, ({n_clients}, 2, {p}, {q})")
        object.__setattr__(self, "halves", halves)
        self._check_combination()
        for field, size in zip(("row_covariances", "column_covariances"), self.block_shape, strict=True):
            object.__setattr__(self, field, self._checked_covariances(field, size, names))

    def _count(self) -> int:
        blocks = self.values if self.values is not None else self.factors
        try:
            n_clients = len(blocks)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(
                f"client estimates: expected one matrix per client, got {type(blocks).__name__}; give (K, p, q)"
            ) from None
        if n_clients == 0:
            raise ValueError("client estimates: no client given; give at least one p × q block")
        return n_clients

    def _checked_names(self, n_clients: int) -> tuple[str, ...]:
        if self.client_names is None:
            return tuple(f"client {k}" for k in range(n_clients))
        names = tuple(str(name) for name in self.client_names)
        if len(names) != n_clients:
            raise ValueError(f"client_names: {len(names)} names for {n_clients} clients; give one name per client")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"client_names: {_shown(twice)!r} is used more than once; give distinct names")
        return names

    def _checked_values(self, names: tuple[str, ...]) -> FloatArray:
        raw = self.values
        if not isinstance(raw, np.ndarray) or raw.dtype == object:
            blocks = [_real_matrix(block, "values", names[k]) for k, block in enumerate(raw)]  # type: ignore[arg-type]
            for name, block in zip(names, blocks, strict=True):
                if block.shape != blocks[0].shape:
                    raise ValueError(
                        f"{name}: values has shape {block.shape} but {names[0]} has {blocks[0].shape}; "
                        "all clients need blocks of one shape p × q"
                    )
            raw = np.stack(blocks)
        if raw.dtype.kind not in "fiub":
            raise TypeError(f"values: dtype {raw.dtype}; give real numbers (float64 or float32)")
        if raw.ndim != 3:
            raise ValueError(f"values: shape {raw.shape}; give one p × q block per client, an array (K, p, q)")
        if 0 in raw.shape:
            raise ValueError(f"values: shape {raw.shape} has a zero; K, p and q must all be at least 1")
        # A copy: a frozen record must not change when the caller goes on writing into its own array.
        values: FloatArray = np.array(raw, dtype=np.float64, order="C")
        if not np.isfinite(values).all():
            for name, block in zip(names, values, strict=True):
                _check_finite(block, "values", name)
        return _read_only(values)

    def _checked_factors(self, names: tuple[str, ...]) -> tuple[tuple[FloatArray, FloatArray], ...]:
        assert self.factors is not None
        checked: list[tuple[FloatArray, FloatArray]] = []
        for name, pair in zip(names, self.factors, strict=True):
            if not isinstance(pair, Sequence) or len(pair) != 2:
                raise ValueError(f"{name}: factors must be a pair (B_k, A_k) with B_k p × s and A_k s × q")
            plain, _ = plain_blocks(list(pair))
            # Copies, as for values: a frozen record must not change when the caller writes into its own arrays.
            left, right = (np.array(_real_matrix(m, f"factors[{i}]", name)) for i, m in enumerate(plain))
            if left.shape[1] != right.shape[0]:
                raise ValueError(
                    f"{name}: factors have shapes {left.shape} and {right.shape}; the inner dimensions must agree"
                )
            if 0 in left.shape or 0 in right.shape:
                raise ValueError(
                    f"{name}: factors have shapes {left.shape} and {right.shape}; give at least one row, column "
                    "and rank"
                )
            outer = (left.shape[0], right.shape[1])
            if checked and outer != (checked[0][0].shape[0], checked[0][1].shape[1]):
                first = (checked[0][0].shape[0], checked[0][1].shape[1])
                raise ValueError(f"{name}: factors multiply to {outer} but {names[0]} to {first}; give one shape p × q")
            _check_finite(left, "factors[0]", name)
            _check_finite(right, "factors[1]", name)
            _check_product(left, right, name)
            checked.append((_read_only(left), _read_only(right)))
        return tuple(checked)

    def _checked_vector(self, field: str, names: tuple[str, ...]) -> FloatArray | None:
        raw = getattr(self, field)
        if raw is None:
            return None
        vector = np.asarray(raw)
        if vector.dtype.kind not in "fiub":
            raise TypeError(f"{field}: dtype {vector.dtype}; give one positive number per client")
        if vector.shape != (len(names),):
            raise ValueError(f"{field}: shape {vector.shape} for {len(names)} clients; give one number per client")
        vector = np.array(vector, dtype=np.float64)
        bad = np.flatnonzero(~(np.isfinite(vector) & (vector > 0)))
        if bad.size:
            k = int(bad[0])
            raise ValueError(f"{names[k]}: {field} is {vector[k]!s}; it must be positive and finite")
        return _read_only(vector)

    def _check_combination(self) -> None:
        """Covariances only in combinations that mean something."""
        columns, degrees = self.column_covariances, self.residual_degrees_of_freedom
        if self.row_covariances is None and (columns is not None or degrees is not None):
            raise ValueError("row_covariances: missing beside column_covariances or degrees of freedom; give (K, p, p)")
        if self.row_covariances is None:
            return
        if self.factors is not None:
            raise ValueError("row_covariances: given with factors; give the products as values (K, p, q)")
        if self.noise_scales is not None:
            raise ValueError("noise_scales: given with row_covariances, which carry the scale; give one of the two")
        if degrees is not None and columns is None:
            raise ValueError("residual_degrees_of_freedom: they belong to column_covariances; give these as well")
        least = self.block_shape[1] + 3
        if degrees is not None and (degrees <= least).any():
            k = int(np.argmin(degrees))
            who = _shown(self.names[k])
            raise ValueError(
                f"{who}: residual_degrees_of_freedom is {degrees[k]:g} and must exceed q + 3 = {least}; "
                "refit with more observations or give noise_scales in place of covariances"
            )

    def _checked_covariances(self, field: str, size: int, names: tuple[str, ...]) -> FloatArray | None:
        raw = getattr(self, field)
        if raw is None:
            return None
        if len(raw) != len(names):
            raise ValueError(f"{field}: {len(raw)} matrices for {len(names)} clients; give one per client")
        matrices = [_real_matrix(matrix, field, name) for matrix, name in zip(raw, names, strict=True)]
        for name, matrix in zip(names, matrices, strict=True):
            if matrix.shape != (size, size):
                raise ValueError(f"{name}: {field} has shape {matrix.shape}; give {size} × {size}")
            _check_finite(matrix, field, name)
            if np.abs(matrix - matrix.T).max() > _SYMMETRY * np.abs(matrix).max():
                raise ValueError(f"{name}: {field} is not symmetric; give a covariance matrix")
            values = np.linalg.eigvalsh(matrix)
            if not values[0] > _SINGULAR * values[-1]:
                raise ValueError(
                    f"{name}: {field} is not positive definite (eigenvalues {values[0]:.3g} to {values[-1]:.3g}); "
                    "leave out directions without error, or give noise_scales in place of covariances"
                )
        return _read_only(np.stack([matrix / 2.0 + matrix.T / 2.0 for matrix in matrices]))

    @property
    def n_clients(self) -> int:
        """K, number of clients."""
        return len(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """Client names, always K of them."""
        assert self.client_names is not None
        return self.client_names

    @property
    def block_shape(self) -> tuple[int, int]:
        """(p, q), the shape of one client's estimator."""
        if self.values is not None:
            return int(self.values.shape[1]), int(self.values.shape[2])
        assert self.factors is not None
        return int(self.factors[0][0].shape[0]), int(self.factors[0][1].shape[1])

    def of_clients(self, numbers: Sequence[int]) -> ClientEstimates:
        """The record of some clients, in this order.

        Parameters
        ----------
        numbers : sequence of int
            Distinct, from 0.

        Returns
        -------
        ClientEstimates
        """
        order = list(numbers)
        chosen: dict[str, Any] = {
            field.name: np.asarray(value)[order]
            for field in fields(self)
            if field.name not in ("factors", "client_names") and (value := getattr(self, field.name)) is not None
        }
        if self.factors is not None:
            chosen["factors"] = tuple(self.factors[k] for k in order)
        return ClientEstimates(**chosen, client_names=tuple(self.names[k] for k in order))

    def dense(self) -> FloatArray:
        """Blocks (K, p, q); multiplies factors out, so only for sizes where K·p·q numbers fit in memory.

        Returns
        -------
        ndarray, shape (K, p, q)
            The record's own read-only array when the estimates were given as values.
        """
        if self.values is not None:
            return self.values
        assert self.factors is not None
        return np.stack([left @ right for left, right in self.factors])


def as_client_estimates(estimates: ClientEstimates | ArrayLike | Mapping[str, Any]) -> ClientEstimates:
    """Check an array (K, p, q) or a mapping name → matrix, or pass a checked record through unchanged.

    Parameters
    ----------
    estimates : ClientEstimates, array_like of shape (K, p, q), or mapping of str to array_like of shape (p, q)

    Returns
    -------
    ClientEstimates

    Raises
    ------
    TypeError, ValueError
        As :class:`ClientEstimates`.
    """
    if isinstance(estimates, ClientEstimates):
        return estimates
    return ClientEstimates(values=estimates)  # type: ignore[arg-type]

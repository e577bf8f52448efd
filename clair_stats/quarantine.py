"""Clients whose estimates cannot be used are set aside and named, and the others are fitted as if they had been alone.

A client is set aside whose matrix is not numeric, masked, of another shape than most, NaN or infinite, or whose noise
scale or sample size is no positive number.  How large a finite estimate is, detection judges.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.containers import plain_blocks
from clair_stats.estimates import ClientEstimates
from clair_stats.records import FloatArray
from clair_stats.several_modules import holds_modules

__all__ = ["UsableModules", "usable", "without_unusable"]

# Fields of a record with one number or matrix per client.
_PER_CLIENT = (
    *("noise_scales", "sample_sizes", "row_covariances", "column_covariances", "residual_degrees_of_freedom"),
    "halves",
)


def usable(
    estimates: ClientEstimates | ArrayLike | Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[ClientEstimates | UsableModules, dict[str, str]]:
    """What of one module or of several can be fitted, and why the rest cannot; a warning names who is set aside.

    Parameters
    ----------
    estimates : ClientEstimates, array_like of shape (K, p, q), or mapping
        As for :meth:`clair_stats.CLAIR.fit`.
    given : mapping
        Noise scales or sample sizes, one entry per client.

    Returns
    -------
    ClientEstimates or UsableModules
    dict of str to str
        Client name → reason.
    """
    found: ClientEstimates | UsableModules
    if isinstance(estimates, Mapping) and holds_modules(estimates):
        found = UsableModules(estimates, **given)
        reasons = found.quarantined
    else:
        found, reasons = without_unusable(estimates, **given)
    if reasons:
        told = "; ".join(f"{name} {reason}" for name, reason in reasons.items())
        warnings.warn(f"{len(reasons)} clients set aside: {told}", UserWarning, stacklevel=3)
    return found, reasons


def without_unusable(
    estimates: ClientEstimates | ArrayLike | Mapping[str, Any],
    **given: Any,  # noqa: ANN401 - as the record checks them
) -> tuple[ClientEstimates, dict[str, str]]:
    """The record of the clients that can be used, and why the others cannot.

    Parameters
    ----------
    estimates : ClientEstimates, array_like of shape (K, p, q), sequence of K matrices, or mapping name → matrix
    **given
        Further fields of :class:`~clair_stats.estimates.ClientEstimates`, with one entry per client.

    Returns
    -------
    ClientEstimates
    dict of str to str
        Client name → reason, in the order given.

    Raises
    ------
    TypeError, ValueError
        No client can be used, or what concerns all of them is wrong.
    """
    if isinstance(estimates, ClientEstimates):  # checked already
        return (replace(estimates, **given) if given else estimates), {}
    record, names = _contents(estimates, given)
    reasons: dict[int, str] = {}
    blocks = record.pop("blocks")
    matrices = [_matrix(block) for block in blocks]
    shapes = Counter(found.shape for found in matrices if isinstance(found, np.ndarray))
    if not shapes:
        raise ValueError(f"estimates: no client can be used; {names[0]}: {matrices[0]}")
    usual = shapes.most_common(1)[0][0]
    for k, found in enumerate(matrices):
        if isinstance(found, str):
            reasons[k] = found
        elif found.shape != usual:
            reasons[k] = f"has shape {found.shape}, most others {usual}; refit it with their rows and columns"
    for field in _PER_CLIENT:
        for k in range(len(blocks)):
            if record.get(field) is not None and k not in reasons:
                told = _problem(field, record[field], k)
                if told is not None:
                    reasons[k] = told
    kept = [k for k in range(len(blocks)) if k not in reasons]
    if not kept:
        raise ValueError(f"estimates: no client can be used; {names[0]}: {reasons[0]}")
    fields: dict[str, Any] = {n: None if value is None else np.asarray(value)[kept] for n, value in record.items()}
    usable_ones = ClientEstimates(
        values=np.stack([matrices[k] for k in kept]), client_names=tuple(names[k] for k in kept), **fields
    )
    return usable_ones, {names[k]: reasons[k] for k in sorted(reasons)}


def _contents(estimates: Any, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:  # noqa: ANN401
    """Blocks and fields of whatever was given, and the clients' names."""
    if isinstance(estimates, Mapping):
        names, blocks = [str(name) for name in estimates], list(estimates.values())
    else:
        blocks = list(estimates)
        names = [f"client {k}" for k in range(len(blocks))]
    if not blocks:
        raise ValueError("client estimates: no client given; give at least one p × q block")
    if any(hasattr(block, "index") and hasattr(block, "to_numpy") for block in blocks):
        blocks = list(plain_blocks(dict(zip(names, blocks, strict=True)))[0])  # data frames, aligned by their labels
    asked = given.pop("client_names", None)
    for name, value in given.items():
        if value is not None and len(value) != len(blocks):
            raise ValueError(f"{name}: {len(value)} entries for {len(blocks)} clients; give one per client")
    return {"blocks": blocks, **given}, names if asked is None else [str(name) for name in asked]


def _matrix(block: object) -> FloatArray | str:
    """A finite matrix, or why there is none."""
    try:
        plain = plain_blocks([block])[0][0]
    except (TypeError, ValueError) as error:
        return str(error).removeprefix("client 0: ")
    if plain.dtype.kind not in "fiub":
        return f"holds {plain.dtype}, no real numbers; give a numeric matrix"
    if plain.ndim != 2 or 0 in plain.shape:
        return f"has shape {plain.shape}; give a matrix p × q"
    bad = int(np.count_nonzero(~np.isfinite(plain)))
    if bad:
        return f"has {bad} entries that are NaN or infinite; refit it"
    return np.asarray(plain, dtype=np.float64)


def _problem(field: str, values: Any, client: int) -> str | None:  # noqa: ANN401 - any array_like
    value = np.asarray(values[client])
    if value.dtype.kind not in "fiub" or not np.isfinite(value).all() or (value.ndim == 0 and value <= 0):
        shown = f" is {value}" if value.ndim == 0 else " holds NaN or infinite entries"
        return f"its {field}{shown}; refit it"
    return None


class UsableModules(Mapping[str, Any]):
    """Several modules without the clients that cannot be used in one of them; read again when a module is asked for.

    Parameters
    ----------
    modules : mapping module name → estimates
    **given
        As for :func:`without_unusable`.

    Raises
    ------
    ValueError
        No client can be used in every module.
    """

    def __init__(self, modules: Mapping[str, Any], **given: Any) -> None:  # noqa: ANN401 - as the record checks them
        self._modules, self._given = modules, given
        self.quarantined: dict[str, str] = {}
        kept: tuple[str, ...] = ()
        for name in modules:
            record, reasons = without_unusable(modules[name], **given)
            for client, reason in reasons.items():
                self.quarantined.setdefault(client, f"module {name}: {reason}")
            kept = kept or (*record.names, *reasons)
        self._kept = tuple(client for client in kept if client not in self.quarantined)
        if not self._kept:
            raise ValueError("estimates: no client can be used in every module; refit them, or leave modules out")

    def __getitem__(self, name: str) -> ClientEstimates:
        record, _ = without_unusable(self._modules[name], **self._given)
        return record.of_clients([k for k, client in enumerate(record.names) if client not in self.quarantined])

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)

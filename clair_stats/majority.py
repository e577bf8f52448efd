"""The warning that no collaborative set is given."""

__all__ = ["NoMajorityWarning"]


class NoMajorityWarning(UserWarning):
    """No set of more than half the clients agrees on a subspace; no collaborative set is given.

    Examples
    --------
    >>> import warnings, numpy as np
    >>> from clair_stats import CLAIR, NoMajorityWarning
    >>> estimates = np.random.default_rng(0).standard_normal((9, 12, 6))
    >>> estimates[:4] *= 0.1  # four clients agree that they are zero, five are anywhere
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     model = CLAIR().fit(estimates)
    >>> caught[0].category is NoMajorityWarning
    True
    """

"""What people expect of an estimator: parameters to read, set and copy, a table of clients, a page in a notebook.

The conventions are scikit-learn's, so that ``sklearn.base.clone``, ``get_params`` in a grid and ``fit_predict`` work;
scikit-learn itself is not imported.
"""

from __future__ import annotations

import html
import inspect
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from clair_stats.records import BoolArray, FloatArray
from clair_stats.report.printable import printable

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.utils import Tags

__all__ = ["EstimatorConventions", "NotFittedError"]

# Clients that a page in a notebook shows; the rest are counted.
_SHOWN = 50


class NotFittedError(ValueError, AttributeError):
    """A result was asked for before ``fit``; both a ValueError and an AttributeError, as scikit-learn's.

    Examples
    --------
    >>> from clair_stats import CLAIR, NotFittedError
    >>> try:
    ...     CLAIR().rank_
    ... except NotFittedError:
    ...     print("call fit first")
    call fit first
    """


class EstimatorConventions:
    """Mixed into :class:`clair_stats.CLAIR`."""

    client_names_: tuple[str, ...]
    quarantined_: dict[str, str]
    collaborative_set_: BoolArray
    flagged_: BoolArray
    majority_: bool
    scores_: FloatArray
    p_values_: FloatArray
    thresholds_: FloatArray
    modules_: object

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - reached only for attributes that are not there
            if name.endswith("_") and not name.startswith("_") and "client_names_" not in self.__dict__:
                raise NotFittedError(f"{type(self).__name__}: {name} is there after fit(estimates); call fit first")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn asks an estimator about: blocks (K, p, q) go in, and no target is needed."""
        from sklearn.utils import InputTags, Tags, TargetTags

        inputs = InputTags(one_d_array=False, two_d_array=False, three_d_array=True)
        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=inputs)

    def __sklearn_is_fitted__(self) -> bool:
        """Whether ``fit`` has been called, for ``sklearn.utils.validation.check_is_fitted``."""
        return "client_names_" in self.__dict__

    @classmethod
    def _parameters(cls) -> tuple[str, ...]:
        return tuple(inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Settings by name, as given.

        Parameters
        ----------
        deep : bool
            Without meaning here: no setting is an estimator.

        Returns
        -------
        dict
        """
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **settings: Any) -> Self:  # noqa: ANN401 - checked when fit is called
        """Change settings by name; they are checked by ``fit``.

        Parameters
        ----------
        **settings
            Any of :meth:`get_params`.

        Returns
        -------
        CLAIR
            Itself.

        Raises
        ------
        ValueError
            A name that is no setting.
        """
        known = self._parameters()
        for name, value in settings.items():
            if name not in known:
                raise ValueError(f"{name!r} is no setting of {type(self).__name__}; known are {', '.join(known)}")
            setattr(self, name, value)
        return self

    def fit_predict(self, estimates: Any, y: None = None, **options: Any) -> BoolArray:  # noqa: ANN401 - as for fit
        """Fit and return who is benign, shape (K,); all False without a majority.

        Parameters
        ----------
        estimates, **options
            As for ``fit``.
        y : None
            Not used; scikit-learn's pipelines pass it.

        Returns
        -------
        array of bool, shape (K,)
        """
        self.fit(estimates, **options)  # type: ignore[attr-defined]
        return self.collaborative_set_

    @property
    def sample_sizes_(self) -> FloatArray | None:
        """n_k, shape (K,), where they alone say how the scales of the errors compare; else None."""
        record = getattr(self, "_estimates", None)
        if record is None or self.modules_ is not None or record.noise_scales is not None:
            return None
        return None if record.row_covariances is not None else record.sample_sizes

    def to_frame(self) -> pd.DataFrame:
        """One row per client, by name, in the order given: verdict, score, threshold, p-value, reason.

        Returns
        -------
        pandas.DataFrame
            With ``verdict`` benign, flagged, undecided without a majority, or quarantined (these come last).
        """
        import pandas as pd

        verdict = (
            np.where(self.flagged_, "flagged", "benign")
            if self.majority_
            else np.full(self.flagged_.shape, "undecided")
        )
        aside = self.quarantined_
        unknown = np.full(len(aside), np.nan)
        columns = {
            "verdict": [*verdict, *("quarantined" for _ in aside)],
            "score": np.concatenate([self.scores_, unknown]),
            "threshold": np.concatenate([self.thresholds_, unknown]),
            "p_value": np.concatenate([self.p_values_, unknown]),
            "reason": [*self.reasons_, *aside.values()],  # type: ignore[attr-defined]
        }
        return pd.DataFrame(columns, index=pd.Index([*self.client_names_, *aside], name="client"))

    def _repr_html_(self) -> str:
        """The verdict in a notebook; names of clients are text."""
        if "client_names_" not in self.__dict__:
            return f"<code>{html.escape(repr(self))}</code>"
        frame = self.to_frame().sort_values("p_value", kind="stable")
        head = "".join(f"<th scope='col'>{name}</th>" for name in ("client", "verdict", "score", "p-value", "why"))
        rows = "".join(
            f"<tr><th scope='row'>{html.escape(printable(str(name)))}</th><td>{row.verdict}</td>"
            f"<td>{row.score:.4g}</td><td>{row.p_value:.2g}</td>"
            f"<td>{html.escape(printable(str(row.reason), longest=400))}</td></tr>"
            for name, row in zip(frame.index[:_SHOWN], frame.head(_SHOWN).itertuples(), strict=True)
        )
        left = len(frame) - _SHOWN
        more = f"<p>{left} more clients: see to_frame()</p>" if left > 0 else ""
        summary = html.escape(str(self.summary()))  # type: ignore[attr-defined]
        return f"<pre>{summary}</pre><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}"

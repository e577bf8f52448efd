"""A model of several modules of the same clients: one verdict for all of them, the rest module by module.

:meth:`clair_stats.CLAIR.fit` comes here when it is given a mapping.  What belongs to a module (its subspace, refined
estimates, decomposition …) is a mapping by its name whose items are computed when first asked for, so that the verdict
on many large modules costs neither the time nor the memory of refining them (docs/derivations/joint_verdict.md).
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.detection.joint.verdict import JointVerdict, joint_verdict
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.orientation import ModelOptions, check_options
from clair_stats.products import CutProduct, cut_product, mean_product, sum_of_products
from clair_stats.records import Detection, FloatArray, Refinement
from clair_stats.refinement.factored import refine_factors
from clair_stats.units import divided, unit_of, without_absurd_sizes

__all__ = ["ByModule", "SeveralModules", "by_module", "fit_modules", "holds_modules"]

# Fitted modules that are kept beside the last one, together at most this many bytes of coordinates.
_KEPT_BYTES = 2**29
# What a model of one module sets when it is fitted, and a model of several hands on by name.
_ATTRIBUTES = (
    *("basis_", "noise_scales_", "error_is_known_", "decomposition_"),
    *("refinement_", "combination_", "consensus_"),
)

T = TypeVar("T")


class Model(ModelOptions, Protocol):
    """What is asked of :class:`clair_stats.CLAIR` here."""

    refinement_: Refinement
    modules_: SeveralModules | None

    def impose(self, checked: ClientEstimates, verdict: JointVerdict, rank: int) -> None:
        """Fit to one module with a known verdict.

        Parameters
        ----------
        checked : ClientEstimates
            The module's local estimators.
        verdict : JointVerdict
            About the clients, from all modules.
        rank : int
            r of this module.
        """
        ...


class ByModule(Mapping[str, object]):
    """One attribute of every module's model, by module name; computed when asked for."""

    def __init__(self, names: tuple[str, ...], value: Callable[[str], object]) -> None:
        self._names, self._value = names, value

    def __getitem__(self, name: str) -> object:
        if name not in self._names:
            raise KeyError(name)
        return self._value(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"ByModule({', '.join(self._names)})"


class SeveralModules:
    """The modules behind a fitted model, and their models under the common verdict."""

    def __init__(self, model: Model, source: Mapping[str, ClientEstimates | ArrayLike], given: dict[str, Any]) -> None:
        self.names = tuple(str(name) for name in source)
        self._keys = dict(zip(self.names, source, strict=True))
        self._source, self._given = source, given
        options: dict[str, Any] = {name: getattr(model, name) for name in inspect.signature(type(model)).parameters}
        self._new_model: Callable[[], Model] = functools.partial(type(model), **options)
        self._fitted: OrderedDict[str, Model] = OrderedDict()
        self.client_names: tuple[str, ...] = ()
        self.verdict: JointVerdict

    def records(self, options: ModelOptions) -> Iterator[Callable[[], ClientEstimates]]:
        """All modules, each read when it is called for, clients in the order of the first.

        Parameters
        ----------
        options : ModelOptions
            Checked against every module.

        Yields
        ------
        callable
            Returns the local estimators of K clients in one module.
        """
        first = self.record(self.names[0])  # sets the order of the clients
        yield partial(_checked, first, options)
        for name in self.names[1:]:
            source = (self._source, self._keys[name], self.client_names, name, self.names[0])
            yield partial(_read_and_checked, *source, self._given, options)

    def record(self, name: str) -> ClientEstimates:
        """One module, clients in the order of the first module.

        Parameters
        ----------
        name : str
            Of the module.

        Returns
        -------
        ClientEstimates
            The local estimators of the K clients there.
        """
        record = as_client_estimates(self._source[self._keys[name]])
        if not self.client_names:
            self.client_names = record.names
        record = _aligned(record, self.client_names, name, self.names[0])
        return replace(record, **self._given) if self._given else record

    def model(self, name: str) -> Model:
        """The module's own model: its subspace, decomposition and refined estimates for the clients' common set.

        Parameters
        ----------
        name : str
            Of the module.

        Returns
        -------
        CLAIR
            Fitted; kept for the next question as long as memory allows.
        """
        if name in self._fitted:
            self._fitted.move_to_end(name)
            return self._fitted[name]
        self._fitted[name] = self.new_model(name)
        while len(self._fitted) > 1 and sum(map(_size, self._fitted.values())) > _KEPT_BYTES:
            self._fitted.popitem(last=False)
        return self._fitted[name]

    def new_model(self, name: str) -> Model:
        """As :meth:`model`, fitted anew and not kept.

        Parameters
        ----------
        name : str
            Of the module.

        Returns
        -------
        CLAIR
        """
        verdict, rank = self.verdict, self.verdict.ranks[self.names.index(name)]
        model = self._new_model()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a missing majority was told at the fit
            model.impose(self.record(name), verdict, rank)
        return model

    def cut_products(
        self,
        name: str,
        most: int | None,
        offsets: Sequence[FloatArray] | None = None,
        *,
        with_mean: bool = False,
        single: bool = False,
    ) -> list[CutProduct]:
        """The module's refined estimates as factors of at most ``most`` ranks; nothing is kept.

        Parameters
        ----------
        name : str
            Of the module.
        most : int, optional
            Exact when not given.
        offsets : sequence of K ndarray, each of shape (s_k,), optional
            d_k of B_k diag(d_k) A_k, which is added to the estimate of client k before the cut.
        with_mean : bool
            Whether the mean of the collaborative set's products, cut likewise, is the last of the list.
        single : bool
            The clients' factors may be in single precision, as adapters are written.

        Returns
        -------
        list of CutProduct
            By client.
        """
        record, options, verdict = self.record(name), self._new_model(), self.verdict
        found, unit = None, unit_of(record)
        if verdict.majority and _told_by_residuals(record, options):
            factors = divided(record, unit).factors
            assert factors is not None
            rank = verdict.ranks[self.names.index(name)]
            refine = functools.partial(refine_factors, most=most, offsets=offsets, with_mean=with_mean, single=single)
            found = refine(factors, verdict.counted, rank)
        if found is None:
            pairs: Any = self.new_model(name).refined_factors_  # type: ignore[attr-defined]
            if offsets is not None and record.factors is not None:
                beside = [(left * by, right) for (left, right), by in zip(record.factors, offsets, strict=True)]
                pairs = [sum_of_products(*both) for both in zip(pairs, beside, strict=True)]
            if with_mean and record.factors is not None:
                members = [record.factors[k] for k in np.flatnonzero(verdict.counted)]
                pairs = [*pairs, mean_product(members)]
            return [cut_product(pair, most) for pair in pairs]
        return [one.in_unit(unit) for one in found]

    def of(self, attribute: str) -> ByModule:
        """One attribute of all modules' models.

        Parameters
        ----------
        attribute : str
            A name of :class:`clair_stats.CLAIR`.

        Returns
        -------
        ByModule
            Its values by module name, computed when asked for.
        """
        return ByModule(self.names, lambda name: getattr(self.model(name), attribute))


def _told_by_residuals(record: ClientEstimates, options: ModelOptions) -> bool:
    """Whether refinement is that of factors alone: shrinkage on what the members' residuals tell of the error."""
    given = (record.noise_scales, record.sample_sizes, record.halves, record.row_covariances)
    plain = options.common_component and options.shared == "columns" and options.flagged == "ignore"
    return (
        record.factors is not None
        and all(field is None for field in given)
        and plain
        and options.refinement == "shrinkage"
    )


def _size(model: Model) -> int:
    return int(model.refinement_.estimates.nbytes)


class _MayHaveModules(Protocol):
    modules_: SeveralModules | None


M = TypeVar("M", bound=_MayHaveModules)


def by_module(getter: Callable[[M], T]) -> Callable[[M], T]:
    """A property of a model that is a mapping by module where the model was fitted to several.

    Parameters
    ----------
    getter : callable
        The property of a model of one module.

    Returns
    -------
    callable
        The same, or a mapping by module name.
    """

    @functools.wraps(getter)
    def wrapped(self: M) -> T:
        if self.modules_ is None:
            return getter(self)
        mapping: Any = self.modules_.of(getter.__name__)
        found: T = mapping
        return found

    return wrapped


def holds_modules(estimates: Mapping[str, Any]) -> bool:
    """Whether a mapping is one of modules: its items are records or stacks, and no single matrices of clients.

    Parameters
    ----------
    estimates : mapping
        Only its first item is looked at.

    Returns
    -------
    bool
    """
    if hasattr(estimates, "toarray"):  # a sparse matrix by keys, which the record refuses
        return False
    first = next(iter(estimates.values()), None)
    return first is None or isinstance(first, ClientEstimates) or np.ndim(first) != 2


def fit_modules(model: Model, source: Mapping[str, ClientEstimates | ArrayLike], given: dict[str, Any]) -> str | None:
    """Set the attributes of an unfitted model from several modules (docs/derivations/joint_verdict.md).

    Parameters
    ----------
    model : CLAIR
        Its options are used, its attributes set.
    source : mapping of str to ClientEstimates or array_like, shape (K, p_m, q_m)
        Read one at a time; read again when something of a module is asked for.
    given : dict
        Noise scales or sample sizes for all modules, shape (K,).

    Returns
    -------
    str or None
        Why there is no collaborative majority.

    Raises
    ------
    ValueError
        No module, modules that do not have the same clients, or options that serve one module only.
    """
    if not len(source):
        raise ValueError("estimates: the mapping holds no module; give at least one, by name")
    if model.heterogeneity > 0:
        raise ValueError(
            "heterogeneity: a tolerated norm is that of one module; with several modules the scatter of benign clients "
            "is learnt, so leave it at 0"
        )
    several = SeveralModules(model, source, given)
    verdict = joint_verdict(
        several.records(model),
        rank=model.rank,
        level=model.level,
        common_component=model.common_component,
        program=model.detection == "program",
        shared=model.shared,
        n_jobs=model.n_jobs,
    )
    several.verdict = verdict
    judged = (verdict.collaborative_set, verdict.scores, verdict.p_values, verdict.thresholds)
    values: dict[str, Any] = {
        "modules_": several,
        "client_names_": several.client_names,
        "majority_": verdict.majority,
        "collaborative_set_": verdict.collaborative_set,
        "flagged_": ~verdict.collaborative_set & verdict.majority,
        "thresholds_": verdict.thresholds,
        "scores_": verdict.scores,
        "p_values_": verdict.p_values,
        "detection_": Detection(*judged, model.level),
        "rank_": dict(zip(several.names, verdict.ranks, strict=True)),
        "module_scores_": dict(zip(several.names, verdict.module_scores, strict=True)),
        "alignment_": verdict.alignment,
        **{attribute: several.of(attribute) for attribute in _ATTRIBUTES},
    }
    for attribute, value in values.items():
        setattr(model, attribute, value)
    return verdict.reason


def _read_and_checked(
    source: Mapping[str, ClientEstimates | ArrayLike],
    key: str,
    clients: tuple[str, ...],
    name: str,
    first: str,
    given: dict[str, Any],
    options: ModelOptions,
) -> ClientEstimates:
    record = _aligned(as_client_estimates(source[key]), clients, name, first)
    return _checked(replace(record, **given) if given else record, options)


def _checked(record: ClientEstimates, options: ModelOptions) -> ClientEstimates:
    """A record that can be fitted, in a unit in which its squares are numbers."""
    check_options(options, record)
    return divided(without_absurd_sizes(record), unit_of(record))


def _aligned(record: ClientEstimates, names: tuple[str, ...], module: str, first: str) -> ClientEstimates:
    """The record with its clients in the order of the first module."""
    if record.names == names:
        return record
    missing = [name for name in names if name not in record.names]
    extra = [name for name in record.names if name not in names]
    if missing or extra:
        told = [f"misses {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} besides"] * bool(extra)
        raise ValueError(
            f"module {module!r}: its clients are not those of module {first!r}: it {' and '.join(told)}; give every "
            "module the same clients (client_names)"
        )
    return record.of_clients([record.names.index(name) for name in names])

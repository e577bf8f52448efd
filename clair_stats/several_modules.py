"""A model of several modules of the same clients: one verdict for all of them, the rest module by module.

:meth:`clair_stats.CLAIR.fit` comes here when it is given a mapping.  What belongs to a module (its subspace, refined
estimates, decomposition …) is a mapping by its name whose items are computed when first asked for, so that the verdict
on many large modules costs neither the time nor the memory of refining them.
"""

from __future__ import annotations

import functools
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from clair_stats.detection.joint.verdict import JointVerdict, joint_verdict
from clair_stats.estimates import ClientEstimates, as_client_estimates
from clair_stats.records import Detection

if TYPE_CHECKING:
    from clair_stats.clair import CLAIR

__all__ = ["ByModule", "SeveralModules", "by_module", "fit_modules", "summarise_modules"]

# Fitted modules that are kept beside the last one, together at most this many bytes of coordinates.
_KEPT_BYTES = 2**29
_ATTRIBUTES = (
    "basis_", "noise_scales_", "decomposition_", "refinement_", "consensus_",
)  # fmt: skip

P, T = ParamSpec("P"), TypeVar("T")


class ByModule(Mapping[str, Any]):
    """One attribute of every module's model, by module name; computed when asked for."""

    def __init__(self, names: tuple[str, ...], value: Callable[[str], Any]) -> None:
        self._names, self._value = names, value

    def __getitem__(self, name: str) -> Any:
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

    def __init__(
        self, model: CLAIR, source: Mapping[str, ClientEstimates | ArrayLike], given: dict[str, Any]
    ) -> None:
        self.names = tuple(str(name) for name in source)
        self._keys = dict(zip(self.names, source, strict=True))
        self._source, self._given, self._settings = source, given, model.settings()
        self._fitted: OrderedDict[str, CLAIR] = OrderedDict()
        self.client_names: tuple[str, ...] = ()
        self.verdict: JointVerdict

    def records(self, check: Callable[[ClientEstimates], None]) -> Iterator[ClientEstimates]:
        """All modules, one at a time, clients in the order of the first."""
        for name in self.names:
            record = self.record(name)
            check(record)
            yield record

    def record(self, name: str) -> ClientEstimates:
        """One module, clients in the order of the first module."""
        record = as_client_estimates(self._source[self._keys[name]])
        if not self.client_names:
            self.client_names = record.names
        record = _aligned(record, self.client_names, name, self.names[0])
        return replace(record, **self._given) if self._given else record

    def model(self, name: str) -> CLAIR:
        """The module's own model: its subspace, decomposition and refined estimates for the clients' common set."""
        if name in self._fitted:
            self._fitted.move_to_end(name)
            return self._fitted[name]
        from clair_stats.clair import CLAIR

        number = self.names.index(name)
        model = CLAIR(**self._settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the missing majority was told at the fit
            model.fit_given_set(
                self.record(name),
                self.verdict.collaborative_set,
                self.verdict.ranks[number],
                majority=self.verdict.majority,
            )
        self._fitted[name] = model
        while len(self._fitted) > 1 and sum(m.refinement_.estimates.nbytes for m in self._fitted.values()) > _KEPT_BYTES:
            self._fitted.popitem(last=False)
        return model

    def of(self, attribute: str) -> ByModule:
        """One attribute of all modules' models."""
        return ByModule(self.names, lambda name: getattr(self.model(name), attribute))


def by_module(getter: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A property of a model that is a mapping by module where the model was fitted to several."""

    @functools.wraps(getter)
    def wrapped(self: Any, *args: P.args, **kwargs: P.kwargs) -> T:
        several = self.__dict__.get("modules_")
        if several is None:
            return getter(self, *args, **kwargs)
        mapping: Any = several.of(getter.__name__)
        found: T = mapping
        return found

    return wrapped


def fit_modules(
    model: CLAIR, source: Mapping[str, ClientEstimates | ArrayLike], given: dict[str, Any]
) -> None:
    """Set the attributes of ``model`` from several modules.

    Raises
    ------
    ValueError
        No module, modules that do not have the same clients, or options that serve one module only.
    """
    if not source:
        raise ValueError("estimates: the mapping holds no module; give at least one, by name")
    if model.heterogeneity > 0:
        raise ValueError(
            "heterogeneity: a tolerated norm is that of one module; with several modules the scatter of benign clients "
            "is learnt, so leave it at 0"
        )
    several = SeveralModules(model, source, given)
    verdict = joint_verdict(
        several.records(model.check),
        rank=model.rank,
        level=model.level,
        common_component=model.common_component,
        shared=model.shared,
    )
    several.verdict = verdict
    if verdict.reason is not None:
        from clair_stats.clair import NoMajorityWarning

        warnings.warn(
            f"no collaborative majority: {verdict.reason}; no client is called benign and the local estimates are "
            "kept. Add clients, or modules in which contaminated ones differ",
            NoMajorityWarning,
            stacklevel=3,
        )
    values: dict[str, Any] = {
        "modules_": several,
        "client_names_": several.client_names,
        "majority_": verdict.majority,
        "collaborative_set_": verdict.collaborative_set,
        "scores_": verdict.scores,
        "p_values_": verdict.p_values,
        "detection_": Detection(
            verdict.collaborative_set, verdict.scores, verdict.p_values, verdict.thresholds, model.level
        ),
        "rank_": dict(zip(several.names, verdict.ranks, strict=True)),
        "module_scores_": dict(zip(several.names, verdict.module_scores, strict=True)),
        **{attribute: several.of(attribute) for attribute in _ATTRIBUTES},
    }
    for attribute, value in values.items():
        setattr(model, attribute, value)


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
    order = [record.names.index(name) for name in names]

    def taken(value: Any) -> Any:
        return None if value is None else np.asarray(value)[order]

    return ClientEstimates(
        values=taken(record.values),
        factors=None if record.factors is None else tuple(record.factors[k] for k in order),
        noise_scales=taken(record.noise_scales),
        sample_sizes=taken(record.sample_sizes),
        client_names=names,
        row_covariances=taken(record.row_covariances),
        column_covariances=taken(record.column_covariances),
        residual_degrees_of_freedom=taken(record.residual_degrees_of_freedom),
    )


def summarise_modules(model: CLAIR, several: SeveralModules) -> str:
    """Set, level, law and what was evened out before clients were compared; the modules that tell most."""
    verdict, n_clients = several.verdict, len(several.client_names)
    flagged = ~verdict.collaborative_set
    if verdict.majority:
        lines = [
            f"{flagged.sum()} of {n_clients} clients flagged at family-wise level {model.level:g} from "
            f"{len(several.names)} modules together"
        ]
    else:
        lines = [f"no collaborative majority among {n_clients} clients: {verdict.reason}; local estimates are kept"]
    low, high = min(verdict.ranks), max(verdict.ranks)
    lines.append(f"shared rank {low}" if low == high else f"shared ranks {low} to {high}")
    if verdict.law == "white errors":
        lines.append("errors are white inside a client: the modules' exact p-values are added up as χ² sums")
    else:
        lines.append(
            "the law is learnt from the benign majority: log scores of every module, standardised and added up client "
            "by client"
        )
    cut = [rank for rank in verdict.cut_to if rank is not None]
    if cut:
        lines.append(
            f"clients kept different ranks in {len(cut)} modules: higher ones were cut to rank {min(cut)}"
            + (f" to {max(cut)}" if max(cut) > min(cut) else "")
            + " before they were compared"
        )
    if verdict.normalised:
        lines.append("the clients' scales differ: every block was divided by its norm before they were compared")
    if verdict.majority and flagged.any():
        telling = np.argsort(-verdict.module_scores[:, flagged].mean(axis=1), kind="stable")[:3]
        lines.append(
            "flagged clients stand out most in "
            + ", ".join(
                f"{several.names[m]} ({verdict.module_scores[m, flagged].mean():.1f} standard deviations)"
                for m in telling
            )
        )
    return "\n".join(lines)

"""One round on a server, without any framework.

The verdict is on what each client added in this round, c₁B₁A₁ − c₀B₀A₀ = [c₁B₁, −c₀B₀][A₁; A₀], so that what all have
received in common does not hide the differences; the average is of the adapters themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clair_stats.adapters.client import ClientAdapter, checked_adapter
from clair_stats.adapters.config import checked_config
from clair_stats.adapters.federation import AdapterFederation, AdapterModules, agreeing, trimmed_mean
from clair_stats.adapters.judge import fitted, report_on
from clair_stats.adapters.output import as_peft
from clair_stats.adapters.refusal import AdapterRefused
from clair_stats.adapters.report import AdapterReport
from clair_stats.adapters.tensors import ArrayTensor
from clair_stats.clair import CLAIR
from clair_stats.estimates import ClientEstimates
from clair_stats.federation.evidence import ClientEvidence
from clair_stats.federation.influence import Influence, influence_of, with_influence
from clair_stats.federation.weights import CAP
from clair_stats.products import capped, mean_product, sum_of_products
from clair_stats.records import FloatArray

__all__ = ["Adapter", "Reply", "RoundResult", "aggregate_round"]

Pair: TypeAlias = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, eq=False)
class Adapter:
    """An adapter in memory, under PEFT's names."""

    tensors: Mapping[str, NDArray[Any]]
    config: Mapping[str, Any]  # what adapter_config.json holds


@dataclass(frozen=True, eq=False)
class Reply:
    """What one client sent back."""

    name: str
    adapter: Adapter
    n_examples: float = 1.0  # as the client states it


@dataclass(frozen=True, eq=False)
class RoundResult:
    """What a server does next."""

    aggregate: Adapter | None  # to send to everybody; None without a verdict: send the previous one again
    refined: Mapping[str, Adapter]  # by client; benign clients only
    report: AdapterReport
    evidence: ClientEvidence
    excluded: frozenset[str] = field(default_factory=frozenset)  # flagged by this round or by all so far


def aggregate_round(
    replies: Sequence[Reply],
    *,
    previous: Adapter | Mapping[str, Adapter] | None = None,
    absent: Mapping[str, str] | None = None,
    evidence: ClientEvidence | None = None,
    level: float = 0.05,
    rank: int | None = None,
    weight_cap: float = CAP,
    refined: bool = False,
) -> RoundResult:
    """Judge and average one round of replies.

    Parameters
    ----------
    replies : sequence of Reply
        Distinct names.
    previous : Adapter, or mapping client name → Adapter, optional
        What all clients, or each, started from in this round; the verdict is then on what they added.
    absent : mapping name → reason, optional
        Clients whose reply did not come; they stand in the report as quarantined.
    evidence : ClientEvidence, optional
        Of the rounds before.
    level : float
        Probability of any false alarm, half for this round alone and half for all rounds together.
    rank : int, optional
        Largest rank of a product that is sent; exact when not given.
    weight_cap : float
        A client counts for at most this many times the median client, whatever number of examples it states.
    refined : bool
        Whether a refined adapter is made for every benign client.

    Returns
    -------
    RoundResult
        Nothing a client sends ends the round: what cannot be read is quarantined, named and has no part.

    Raises
    ------
    ValueError
        No reply can be read, no base model has a majority, names are not distinct, or ``previous`` is no adapter.
    """
    if len({reply.name for reply in replies}) < len(replies):
        raise ValueError("replies: two clients have one name; give distinct names")
    # In one order, so that the numbers do not depend on who answered first.
    replies = sorted(replies, key=lambda reply: reply.name)
    federation = _federation(replies, absent or {})
    starts = _starts(federation, previous)
    modules: Mapping[str, ClientEstimates] = AdapterModules(federation.clients)
    if starts is not None:
        modules = _Increments(AdapterModules(federation.clients), starts)
    model = fitted(modules, len(federation.clients), level / 2.0)
    report = report_on(federation, modules, model, level)
    scores = {row.name: row.score for row in report.rows}
    known = (evidence or ClientEvidence()).after(scores if model is not None and model.majority_ else {})
    if model is None or not model.majority_:
        return RoundResult(None, {}, report, known)
    over_rounds = known.flagged(level / 2.0)
    names = [client.name for client in federation.clients]
    flagged = {name for name, benign in zip(names, model.collaborative_set_, strict=True) if not benign}
    report = _with_history(report, over_rounds - flagged, known)
    excluded = frozenset(flagged | over_rounds)
    members = [client for client in federation.clients if client.name not in excluded]
    if 2 * len(members) <= len(federation.clients):
        return RoundResult(None, {}, report, known, excluded)
    stated = {reply.name: reply.n_examples for reply in replies}
    starts_of = {} if starts is None else {c.name: s for c, s in zip(federation.clients, starts, strict=True)}
    steps = np.array([_step_size(client, starts_of.get(client.name)) for client in members])
    influence = influence_of([stated[client.name] for client in members], steps, cap=weight_cap)
    aggregate = _mean(members, influence, rank, starts_of)
    report = with_influence(report, [client.name for client in members], influence)
    kept = {client.name for client in members}
    own = _refined(federation, model, starts, kept, rank) if refined else {}
    return RoundResult(aggregate, own, report, known, excluded)


def _federation(replies: Sequence[Reply], absent: Mapping[str, str]) -> AdapterFederation:
    clients, quarantined = [], dict(absent)
    for reply in replies:
        try:
            clients.append(_checked(reply.name, reply.adapter))
        except AdapterRefused as refused:
            quarantined[reply.name] = str(refused)
    return agreeing(clients, quarantined)


def _checked(name: str, adapter: Adapter, *, may_be_zero: bool = False) -> ClientAdapter:
    tensors = {key: ArrayTensor(key, np.asarray(array)) for key, array in adapter.tensors.items()}
    return checked_adapter(name, tensors, checked_config(dict(adapter.config)), may_be_zero=may_be_zero)


class _Increments(Mapping[str, ClientEstimates]):
    """What each client added to the adapter that all started from."""

    def __init__(self, modules: AdapterModules, starts: Sequence[ClientAdapter]) -> None:
        self._modules, self._starts = modules, starts

    def __getitem__(self, module: str) -> ClientEstimates:
        record = self._modules[module]
        assert record.factors is not None
        factors = []
        for pair, start in zip(record.factors, self._starts, strict=True):
            left, right = start.products[module].factors()
            factors.append(sum_of_products(pair, (-left, right)))
        return ClientEstimates(factors=tuple(factors), client_names=record.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


def _starts(
    federation: AdapterFederation, previous: Adapter | Mapping[str, Adapter] | None
) -> tuple[ClientAdapter, ...] | None:
    """What each client started from; None where that was nothing."""
    if previous is None:
        return None
    shapes = {module: product.shape for module, product in federation.clients[0].products.items()}
    common = _start("previous", previous, shapes) if isinstance(previous, Adapter) else None
    starts = []
    for client in federation.clients:
        if not isinstance(previous, Adapter) and client.name not in previous:
            raise ValueError(f"previous: nothing for {client.name}; give what every client started from")
        starts.append(common or _start(client.name, previous[client.name], shapes))  # type: ignore[index]
    factors = [product.factors() for start in starts for product in start.products.values()]
    return tuple(starts) if any(np.any(left) and np.any(right) for left, right in factors) else None


def _start(name: str, adapter: Adapter, shapes: Mapping[str, tuple[int, int]]) -> ClientAdapter:
    try:
        start = _checked(name, adapter, may_be_zero=True)
    except AdapterRefused as refused:
        raise ValueError(f"previous: {refused}") from refused
    if {module: product.shape for module, product in start.products.items()} != shapes:
        raise ValueError("previous: its modules are not those of the replies; give what the clients started from")
    return start


def _with_history(report: AdapterReport, names: frozenset[str], evidence: ClientEvidence) -> AdapterReport:
    """Clients that stand out over all rounds only are flagged with that reason."""
    if not names:
        return report
    rows = tuple(
        replace(
            row,
            verdict="flagged",
            reason=f"stands out over {evidence.counts[row.name]} rounds together (mean score "
            f"{evidence.sums[row.name] / evidence.counts[row.name]:.2g}), not in this one alone",
        )
        if row.name in names
        else row
        for row in report.rows
    )
    told = f"{report.explanation}; over all rounds: {', '.join(sorted(names))}"
    return replace(report, verdict="somebody flagged", explanation=told, rows=rows)


def _mean(
    members: Sequence[ClientAdapter], influence: Influence, rank: int | None, starts: Mapping[str, ClientAdapter]
) -> Adapter:
    """The weighted mean of the adapters, exact but for steps that reach too far."""
    products = {}
    for module in members[0].products:
        pairs = []
        for client, share in zip(members, influence.shares, strict=True):
            left, right = client.products[module].factors()
            pair = (share * left, right)
            if share < 1.0 and client.name in starts:
                before, beside = starts[client.name].products[module].factors()
                pair = sum_of_products(pair, ((1.0 - share) * before, beside))
            pairs.append(pair)
        products[module], _ = capped(mean_product(pairs, influence.weights), rank)
    dense = {name: trimmed_mean(members, name) for name in members[0].dense}
    return _as_adapter(members[0], products, dense)


def _step_size(client: ClientAdapter, start: ClientAdapter | None) -> float:
    """‖c₁B₁A₁ − c₀B₀A₀‖_F over all modules, from inner products."""
    total = 0.0
    for module, product in client.products.items():
        left, right = product.factors()
        if start is not None:
            before, beside = start.products[module].factors()
            left, right = sum_of_products((left, right), (-before, beside))
        total += float(np.sum((left.T @ left) * (right @ right.T)))
    return float(np.sqrt(max(total, 0.0)))


def _refined(
    federation: AdapterFederation,
    model: CLAIR,
    starts: Sequence[ClientAdapter] | None,
    names: set[str],
    rank: int | None,
) -> dict[str, Adapter]:
    """The refined increments on top of what each started from."""
    several = model.modules_
    assert several is not None
    products: dict[str, dict[str, Pair]] = {name: {} for name in names}
    for module in several.names:
        offsets = None if starts is None else _own_starts(federation, starts, module)
        for client, cut in zip(federation.clients, several.cut_products(module, rank, offsets), strict=True):
            if client.name in names:
                products[client.name][module] = cut.pair
    dense = {c.name: {n: t.read() for n, t in c.dense.items()} for c in federation.clients if c.name in names}
    by_name = {client.name: client for client in federation.clients}
    return {name: _as_adapter(by_name[name], products[name], dense[name]) for name in sorted(names)}


def _own_starts(federation: AdapterFederation, starts: Sequence[ClientAdapter], module: str) -> list[FloatArray]:
    """d_k with [B₁, −B₀] diag(d_k) [A₁; A₀] = B₀A₀, what each started from."""
    return [
        np.repeat([0.0, -1.0], [client.products[module].rank, start.products[module].rank])
        for client, start in zip(federation.clients, starts, strict=True)
    ]


def _as_adapter(like: ClientAdapter, products: Mapping[str, Pair], dense: Mapping[str, FloatArray]) -> Adapter:
    tensors, config = as_peft(like, products, dense)
    return Adapter({name: np.array(t, dtype=np.float32, order="C") for name, t in tensors.items()}, config)

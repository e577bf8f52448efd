"""Three rounds in Flower with one client that misbehaves: FedAvg, FedMedian, Krum and CLAIR on the same clients.

``python -m benchmarks.flower_rounds`` prints a Markdown table and needs ``flwr`` (extra "federated").  Twelve clients
train LoRA factors of three softmax regressions on 300 rows each, by gradient steps from what the server sends; the
accuracy is that of what the server holds at the end, on held-out rows of the eleven honest clients: mean over
federations drawn from fixed seeds, and its standard error.  Everything runs in one process, without a network.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedMedian, Krum
from flwr.supercore.task_identity import TaskIdentity

from clair_stats.federation.flower import ClairStrategy
from clair_stats.records import FloatArray

__all__ = ["KINDS", "STRATEGIES", "accuracy_after", "main"]

KINDS = ("the same as the others", "NaN", "wrong keys", "dead", "× 100", "10⁹ examples", "mixed ranks", "sign flip")
_CLIENTS, _BAD, _ROUNDS = 12, 5, 3
_SEEDS = tuple(range(20_261_126, 20_261_131))  # of five federations
_FEATURES, _CLASSES, _MODULES, _RANK = 24, 8, 3, 4
_ROWS, _HELD_OUT, _STEPS, _RATE = 300, 300, 60, 0.5
_PREFIX = "base_model.model."
_FIELDS = {"peft_type": "LORA", "base_model_name_or_path": "softmax", "r": _RANK, "lora_alpha": _RANK}

Tensors: TypeAlias = dict[str, Any]  # arrays by PEFT's names


def _softmax(scores: FloatArray) -> FloatArray:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


class Clients:
    """Data of all clients: one regression per module, whose coefficients share two directions among clients."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.seed = seed
        self.base = 0.3 * rng.standard_normal((_MODULES, _CLASSES, _FEATURES))
        span = np.linalg.qr(rng.standard_normal((_MODULES, _CLASSES, 2)))[0]
        common = rng.standard_normal((_MODULES, 2, _FEATURES))
        self.rows: list[list[tuple[FloatArray, FloatArray]]] = []
        for _ in range(_CLIENTS):
            own = self.base + span @ (common + 0.3 * rng.standard_normal(common.shape))
            data = []
            for module in range(_MODULES):
                x = rng.standard_normal((_ROWS + _HELD_OUT, _FEATURES))
                drawn = rng.gumbel(size=(len(x), _CLASSES)) + 2.0 * x @ own[module].T
                data.append((x, np.eye(_CLASSES)[drawn.argmax(axis=1)]))
            self.rows.append(data)

    def trained(self, client: int, start: Tensors, rank: int) -> Tensors:
        """Factors after gradient steps on this client's rows, from what the server sent."""
        found: Tensors = {}
        for module in range(_MODULES):
            x, y = (part[:_ROWS] for part in self.rows[client][module])
            names = [f"{_PREFIX}layers.{module}.proj.lora_{side}.weight" for side in "BA"]
            left, right = (start[name].astype(np.float64) for name in names)
            left, right = left[:, :rank], right[:rank]
            for _ in range(_STEPS):
                error = (_softmax(x @ (self.base[module] + left @ right).T) - y).T @ x / len(x)
                left, right = left - _RATE * error @ right.T, right - _RATE * left.T @ error
            for name, side in zip(names, (left, right), strict=True):
                found[name] = np.asarray(side, dtype=np.float32)
        return found

    def accuracy(self, tensors: Tensors, fields: dict[str, Any]) -> float:
        """Mean over modules and honest clients, on held-out rows."""
        right = []
        for module in range(_MODULES):
            name = f"{_PREFIX}layers.{module}.proj.lora_"
            update = tensors[f"{name}B.weight"] @ tensors[f"{name}A.weight"] * (fields["lora_alpha"] / fields["r"])
            for client in range(_CLIENTS):
                if client != _BAD:
                    x, y = (part[_ROWS:] for part in self.rows[client][module])
                    right.append(((x @ (self.base[module] + update).T).argmax(axis=1) == y.argmax(axis=1)).mean())
        return float(np.mean(right))


def _spoilt(kind: str, tensors: Tensors) -> tuple[Tensors, float]:
    """What the misbehaving client sends, and how many examples it states."""
    first = next(iter(tensors))
    if kind == "NaN":
        return {**tensors, first: np.full_like(tensors[first], np.nan)}, _ROWS
    if kind == "wrong keys":
        return {f"other.{name}": tensor for name, tensor in tensors.items()}, _ROWS
    factor = {"× 100": 100.0, "sign flip": -5.0, "10⁹ examples": -5.0}.get(kind, 1.0)
    sent = {name: factor * tensor if "lora_B" in name else tensor for name, tensor in tensors.items()}
    return {name: np.asarray(t, dtype=np.float32) for name, t in sent.items()}, 1e9 if "10⁹" in kind else _ROWS


def _record(tensors: Tensors) -> ArrayRecord:
    return ArrayRecord({name: Array(np.ascontiguousarray(tensor)) for name, tensor in tensors.items()})


def _numbers(arrays: ArrayRecord) -> Tensors:
    return {name: array.numpy() for name, array in arrays.items()}


class _InProcess(Grid):
    """Every client answers at once."""

    def __init__(self, clients: Clients, kind: str) -> None:
        self._clients, self._kind = clients, kind
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 0

    def set_run(self, run: Any) -> None:  # noqa: ANN401 - Flower's
        """Nothing to set."""

    @property
    def run(self) -> Any:  # noqa: ANN401 - Flower's
        """None."""
        return None

    def create_message(self, *args: Any, **kwargs: Any) -> Message:  # noqa: ANN401 - Flower's
        """Not used by strategies of the Message API."""
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        """All clients."""
        return range(_CLIENTS)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Not used: messages are answered at once."""
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Not used: messages are answered at once."""
        raise NotImplementedError

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Train every client."""
        return [self._answer(message) for message in messages]

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        bad = node == _BAD and self._kind != KINDS[0]
        TaskIdentity.node_id = node
        try:
            if bad and self._kind == "dead":
                return Message(Error(code=0, reason="out of memory"), reply_to=message)
            rank = 2 if bad and self._kind == "mixed ranks" else _RANK
            tensors = self._clients.trained(node, _numbers(message.content["arrays"]), rank)
            examples: float = _ROWS
            if bad:
                tensors, examples = _spoilt(self._kind, tensors)
            fields = json.dumps({**_FIELDS, "r": rank, "lora_alpha": rank})
            content = {
                "arrays": _record(tensors),
                "metrics": MetricRecord({"num-examples": examples}),
                "config": ConfigRecord({"client-name": f"site {node}", "adapter-config": fields}),
            }
            return Message(RecordDict(content), reply_to=message)
        finally:
            TaskIdentity.node_id = 0


STRATEGIES = ("FedAvg", "FedMedian", "Krum", "CLAIR")


def _strategy(name: str) -> FedAvg:
    if name == "CLAIR":
        return ClairStrategy(_FIELDS, fraction_evaluate=0.0)
    return {
        "FedAvg": lambda: FedAvg(fraction_evaluate=0.0),
        "FedMedian": lambda: FedMedian(fraction_evaluate=0.0),
        "Krum": lambda: Krum(fraction_evaluate=0.0, num_malicious_nodes=1),
    }[name]()


def accuracy_after(clients: Clients, kind: str, name: str) -> tuple[float, str]:
    """Accuracy of honest clients after three rounds, and what the strategy says about the misbehaving one.

    Parameters
    ----------
    clients : Clients
    kind : str
        One of ``KINDS``.
    name : str
        One of ``STRATEGIES``.

    Returns
    -------
    float
        NaN where the run ended before.
    str
        Verdict, "not named", or the error that ended the run.
    """
    rng = np.random.default_rng([clients.seed, 1])
    start: Tensors = {}
    for module in range(_MODULES):
        key = f"{_PREFIX}layers.{module}.proj.lora_"
        start[f"{key}A.weight"] = rng.standard_normal((_RANK, _FEATURES)).astype(np.float32) / 5.0
        start[f"{key}B.weight"] = np.zeros((_CLASSES, _RANK), dtype=np.float32)
    strategy = _strategy(name)
    try:
        result = strategy.start(_InProcess(clients, kind), _record(start), num_rounds=_ROUNDS)
        accuracy = clients.accuracy(_numbers(result.arrays), _FIELDS)
    except Exception as error:  # whatever ends the run is what is reported
        return float("nan"), f"run over ({type(error).__name__})"
    if not isinstance(strategy, ClairStrategy) or strategy.last is None:
        return accuracy, "not named"
    rows = {row.name: row.verdict for row in strategy.last.report.rows}
    return accuracy, next((verdict for client, verdict in rows.items() if f"node {_BAD}" in client), "not named")


def _estimate(numbers: Sequence[float], *, sign: bool = False) -> str:
    """Mean and standard error; "run over" where no run came to its end."""
    if np.isnan(numbers).all():
        return "run over"
    error = float(np.std(numbers, ddof=1) / np.sqrt(len(numbers)))
    return f"{np.mean(numbers):{'+' * sign}.3f} ({error:.3f})"


def _row(federations: Sequence[Clients], kind: str, without: Sequence[float]) -> str:
    cells, clair = [], []
    for name in STRATEGIES:
        found = [accuracy_after(clients, kind, name) for clients in federations]
        cells.append(_estimate([accuracy for accuracy, _ in found]))
        if name == "CLAIR":
            clair = [accuracy - other for (accuracy, _), other in zip(found, without, strict=True)]
            told = [verdict for _, verdict in found]
    counts = [f"{verdict} {told.count(verdict)}" for verdict in sorted(set(told))]
    return " | ".join([kind, *cells, _estimate(clair, sign=True), ", ".join(counts)])


def main() -> None:
    """Print the table; the last but one column is CLAIR's accuracy less its own in the run without the client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS, help="these rows")
    kinds = parser.parse_args().only
    logging.disable(logging.CRITICAL)
    federations = [Clients(seed) for seed in _SEEDS]
    heads = ["one client sends", *STRATEGIES, "less the run without it", f"verdicts of {len(_SEEDS)}"]
    print(f"| {' | '.join(heads)} |")
    print("|---" * len(heads) + "|")
    without = [accuracy_after(clients, "dead", "CLAIR")[0] for clients in federations]
    for kind in kinds:
        print(f"| {_row(federations, kind, without)} |", flush=True)


if __name__ == "__main__":
    main()

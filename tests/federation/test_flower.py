"""Rounds in Flower without a network: a grid in this process, and clients that misbehave in the known ways."""

import json

import numpy as np
import pytest

pytest.importorskip("flwr", reason="Flower is not installed; the round itself needs no framework")

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from flwr.supercore.task_identity import TaskIdentity

from clair_stats.federation import Adapter, Reply, aggregate_round
from clair_stats.federation.flower import ClairStrategy
from tests.adapters.folders import MODULES, config
from tests.federation.clients import RANK, Federation, product, untrained

FIELDS = config(r=RANK, lora_alpha=2 * RANK)
BAD = 5


def record(adapter):
    return ArrayRecord({name: Array(tensor) for name, tensor in adapter.tensors.items()})


def spoil(kind, adapter):
    """Arrays, number of examples and configuration of a client that misbehaves."""
    tensors, examples, fields = dict(adapter.tensors), 100, None
    first = next(iter(tensors))
    if kind == "NaN":
        tensors[first] = np.full_like(tensors[first], np.nan)
    elif kind == "wrong keys":
        tensors = {f"other.{name}": t for name, t in tensors.items()}
    elif kind == "x100":
        tensors = {name: 100 * t if "lora_B" in name else t for name, t in tensors.items()}
    elif kind == "1e9 examples":
        examples = 10**9
    elif kind == "sign flip":
        tensors = {name: -5 * t if "lora_B" in name else t for name, t in tensors.items()}
    return tensors, examples, fields


class InProcess(Grid):
    """Every node answers at once; node ``BAD`` misbehaves."""

    def __init__(self, kind=None, seed=3):
        self.federation, self.kind, self.sent = Federation(seed=seed), kind, []
        TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 0

    def set_run(self, run):
        pass

    @property
    def run(self):
        return None

    def create_message(self, *args, **kwargs):
        raise NotImplementedError

    def get_node_ids(self):
        return range(self.federation.n_clients)

    def push_messages(self, messages):
        raise NotImplementedError

    def pull_messages(self, message_ids):
        raise NotImplementedError

    def send_and_receive(self, messages, *, timeout=None):
        messages = list(messages)
        if messages:
            self.sent.append({m.metadata.dst_node_id: m.content["arrays"] for m in messages})
        return [self.answer(message) for message in messages]

    def answer(self, message):
        node = message.metadata.dst_node_id
        start = Adapter({key: array.numpy() for key, array in message.content["arrays"].items()}, FIELDS)
        rank = 2 if self.kind == "mixed ranks" and node == BAD else RANK
        adapter = self.federation.adapter(start, rank=rank, key=(node, len(self.sent)))
        tensors, examples, _ = spoil(self.kind if node == BAD else None, adapter)
        TaskIdentity.node_id = node
        try:
            if self.kind == "dead" and node == BAD:
                return Message(Error(code=0, reason="out of memory"), reply_to=message)
            config_record = ConfigRecord(
                {"client-name": f"site {node}", "adapter-config": json.dumps(dict(adapter.config))}
            )
            content = {
                "arrays": ArrayRecord({name: Array(t) for name, t in tensors.items()}),
                "metrics": MetricRecord({"num-examples": examples}),
                "config": config_record,
            }
            return Message(RecordDict(content), reply_to=message)
        finally:
            TaskIdentity.node_id = 0


def off_subspace(federation, adapter):
    """Share of the adapter's norm outside the benign clients' subspaces."""
    total = off = 0.0
    for module, span in federation.spans.items():
        block = product(adapter, module)
        total += np.sum(block**2)
        off += np.sum((block - span @ (span.T @ block)) ** 2)
    return float(np.sqrt(off / total))


def run(kind, folder=None, rounds=3, **options):
    grid = InProcess(kind)
    strategy = ClairStrategy(FIELDS, report_folder=folder, fraction_evaluate=0.0, **options)
    result = strategy.start(grid, record(untrained()), num_rounds=rounds)
    final = Adapter({key: array.numpy() for key, array in result.arrays.items()}, FIELDS)
    return grid, strategy, final


@pytest.mark.parametrize("kind", ["NaN", "wrong keys", "dead", "x100", "1e9 examples", "mixed ranks", "sign flip"])
def test_the_run_survives_and_names_the_client(tmp_path, kind):
    grid, strategy, final = run(kind, tmp_path)
    clean = off_subspace(*(lambda g, s, f: (g.federation, f))(*run(None)))
    assert off_subspace(grid.federation, final) <= clean + 0.02
    told = json.loads((tmp_path / "round-3" / "report.json").read_text())
    client = next(c for c in told["clients"] if f"node {BAD}" in c["name"])
    expected = {"x100": "flagged", "sign flip": "flagged", "1e9 examples": "capped", "mixed ranks": "benign"}
    assert client["verdict"] == expected.get(kind, "quarantined")
    others = [c["verdict"] for c in told["clients"] if f"node {BAD}" not in c["name"]]
    assert others.count("benign") >= len(others) - 1
    assert strategy.evidence.rounds == 3


def test_fedavg_on_the_same_clients_is_spoilt():
    grid = InProcess("NaN")
    result = FedAvg(fraction_evaluate=0.0).start(grid, record(untrained()), num_rounds=1)
    assert any(np.isnan(array.numpy()).any() for array in result.arrays.values())


def test_the_same_numbers_as_the_round_itself():
    _, _, final = run("x100", rounds=1)
    twin = InProcess("x100")
    replies = []
    for node in twin.get_node_ids():
        adapter = twin.federation.adapter(untrained(), key=(node, 1))
        tensors, examples, _ = spoil("x100" if node == BAD else None, adapter)
        replies.append(Reply(f"site {node}", Adapter(tensors, adapter.config), examples))
    alone = aggregate_round(replies, previous=untrained(), rank=RANK).aggregate
    for name, tensor in alone.tensors.items():
        np.testing.assert_array_equal(final.tensors[name], tensor)


def test_personalised_adapters_go_out_and_a_restart_loses_nothing(tmp_path):
    grid, strategy, _ = run("x100", tmp_path, personalised=True)
    last = grid.sent[-1]
    some = next(iter(MODULES))
    key = f"base_model.model.{some}.lora_B.weight"
    assert not np.array_equal(last[0][key].numpy(), last[1][key].numpy())
    again = ClairStrategy(FIELDS, report_folder=tmp_path)
    assert again.evidence == strategy.evidence

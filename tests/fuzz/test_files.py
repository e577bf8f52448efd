"""Files of strangers, damaged in every way: a refusal that names the file or the client, or what was written in it."""

import json
import sqlite3
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clair_stats import read_estimates
from clair_stats.adapters import read_adapter
from clair_stats.federation import ClientEvidence
from clair_stats.readers import read_usable
from simulations.engine.executor import run_study
from simulations.storage.store import StoreError, load_rows
from simulations.toml_design import read_toml
from tests.adapters.folders import tensors, write
from tests.engine.conftest import TOY_TOML
from tests.engine.toys import small
from tests.fuzz.oracle import SEEDS, damaged, draws, refusals, told
from tests.hardening.cases import K, shared

X = shared()[0]


def spoil(data, seed):
    """Bytes damaged by a generator of this seed."""
    rng = np.random.default_rng(seed)
    return damaged(data, lambda a, b: int(rng.integers(a, b + 1)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def archives(place):
    names = [f"site {k}" for k in range(K)]
    fields = {"estimates": X, "noise_scales": np.full(K, 0.1), "client_names": names}
    np.savez(place / "plain.npz", **fields)
    np.savez_compressed(place / "packed.npz", **fields)
    return [(place / name).read_bytes() for name in ("plain.npz", "packed.npz")]


def estimates_or_refusal(path, kind):
    with refusals() as refused:
        record = read_estimates(path)
        assert np.isfinite(record.dense()).all()
        assert record.block_shape[0] * record.block_shape[1] * record.n_clients < 10_000
    told(f"read_estimates, {kind}", refused)
    with refusals():
        usable, aside = read_usable(path)
        assert np.isfinite(usable.dense()).all()
        assert bool(refused) or not aside


@settings(max_examples=draws(100))
@given(which=st.integers(0, 1), seed=SEEDS)
def test_archives(place, archives, which, seed):
    path = place / "damaged.npz"
    path.write_bytes(spoil(archives[which], seed))
    estimates_or_refusal(path, "damaged .npz")


@settings(max_examples=draws(40))
@given(
    shape=st.tuples(*[st.integers(-(2**40), 2**40)] * 3),
    descr=st.sampled_from(["<f8", "|O", "<U99999999", "<M8[s]", "<c16", "<f2", "|b1", ">f4", "x", "<f8, <f8"]),
    name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12),
)
def test_headers_that_promise_anything(place, shape, descr, name):
    path = place / "promise.npz"
    header = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode() + b"\n"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(96)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("estimates.npy", body)
        archive.writestr(f"{name}.npy", body)
    estimates_or_refusal(path, "hostile header")


@settings(max_examples=draws(60))
@given(seed=SEEDS, long=st.booleans())
def test_tables(place, seed, long):
    if long:
        lines = [f"c{k},{i},{j},{X[k, i, j]:.6g}" for k in range(4) for i in range(3) for j in range(2)]
        path = place / "long.csv"
        path.write_bytes(spoil("\n".join(["client,row,column,value", *lines]).encode(), seed))
    else:
        path = place / "sites"
        path.mkdir(exist_ok=True)
        for k in range(4):
            text = "\n".join(",".join(f"{value:.6g}" for value in row) for row in X[k, :3, :2]).encode()
            (path / f"c{k}.csv").write_bytes(spoil(text, seed) if k == seed % 5 else text)
    estimates_or_refusal(path, "damaged .csv")


@settings(max_examples=draws(90))
@given(which=st.integers(0, 1), seed=SEEDS)
@example(which=1, seed=2_948)  # a tensor whose name is not PEFT's
def test_adapter_folders(place, which, seed):
    folder = place / "adapter"
    if not folder.exists():
        write(folder, tensors({"layers.0.q_proj": (X[0][:, :4], X[1][:4])}))
        for file in folder.iterdir():
            file.rename(place / f"whole-{file.name}")
    for number, name in enumerate(("adapter_config.json", "adapter_model.safetensors")):
        whole = (place / f"whole-{name}").read_bytes()
        (folder / name).write_bytes(spoil(whole, seed) if number == which else whole)
    with refusals() as refused:
        products = read_adapter(folder).products.values()
        assert all(np.isfinite(side).all() for product in products for side in product.factors())
    told("read_adapter, damaged", refused)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = (
    "r",
    "lora_alpha",
    "rank_pattern",
    "alpha_pattern",
    "use_rslora",
    "peft_type",
    "init_lora_weights",
    "use_dora",
)


@settings(max_examples=draws(100))
@given(changes=st.dictionaries(st.sampled_from((*FIELDS, "base_model_name_or_path", "x")), JSON, max_size=3))
@example(changes={"r": 1})
def test_configurations(place, changes):
    folder = place / "configured"
    if not folder.exists():
        write(folder, tensors({"layers.0.q_proj": (X[0][:, :4], X[1][:4])}))
        (folder / "adapter_config.json").rename(place / "whole-config.json")
    fields = json.loads((place / "whole-config.json").read_text()) | changes
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    with refusals() as refused:
        product = read_adapter(folder).products["layers.0.q_proj"]
        assert np.isfinite(product.scale)
        assert product.rank == 4
    told("read_adapter, configurations", refused)


@settings(max_examples=draws(60))
@given(seed=SEEDS, content=JSON)
def test_evidence_files(place, seed, content):
    path = place / "evidence.json"
    ClientEvidence().after({"a": 1.0, "b": -2.0}).save(path)
    whole = path.read_bytes()
    for data in (spoil(whole, seed), json.dumps(content).encode(), b"[" * 20_000):
        path.write_bytes(data)
        with refusals() as refused:
            found = ClientEvidence.load(path)
            assert set(found.sums) == set(found.counts)
            assert np.isfinite(list(found.sums.values())).all()
        told("evidence.json", refused)


@settings(max_examples=draws(60))
@given(seed=SEEDS)
def test_designs(place, seed):
    path = place / "design.toml"
    path.write_bytes(spoil(TOY_TOML.format(replications=5, seconds=0.0).encode(), seed))
    with refusals(path) as refused:  # designs are trusted; what is wrong in one is found by file and key
        study = read_toml(path)
        assert study.cells
        assert study.replications >= 1
    told("design.toml", refused)


@settings(max_examples=draws(25))
@given(seed=SEEDS)
def test_stores(place, seed):
    study = small(replications=20)
    whole = place / "whole.sqlite"
    if not whole.exists():
        run_study(study, whole, backend="sequential", n_jobs=1)
        sqlite3.connect(whole).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    expected = load_rows(whole, study)
    path = place / "damaged.sqlite"
    path.write_bytes(spoil(whole.read_bytes(), seed))
    try:
        found = load_rows(path, study)
    except StoreError as error:
        assert str(path) in str(error) or "row" in str(error)  # noqa: PT017 - either answer is right
        told("store (.sqlite)", True)
        return
    told("store (.sqlite)", False)
    merged = found.merge(expected, on=["cell", "replication"], suffixes=("", "_whole"))
    assert len(merged) == len(found)
    for name in expected.columns.difference(["cell", "replication", "seconds", "error"]):
        if name in found:
            same = (merged[name] == merged[f"{name}_whole"]) | (merged[name].isna() & merged[f"{name}_whole"].isna())
            assert same.all()


@settings(max_examples=draws(100))
@given(name=st.text(max_size=40), data=st.binary(max_size=64))
def test_anything_under_any_name(place, name, data):
    path = place / (name.replace("/", "").replace("\0", "").encode("utf-8", "ignore").decode()[:60] or "x")
    if path.is_dir() or len(path.name.encode()) > 200:
        return
    path.write_bytes(data)
    with refusals() as refused:
        record = read_estimates(path)
        assert np.isfinite(record.dense()).all()
    told("read_estimates, any bytes and name", refused)
    with refusals() as refused:
        read_adapter(path)
    assert refused
    told("read_adapter, any bytes and name", True)
    path.unlink()

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from clair_stats import CLAIR, ClientEstimates
from clair_stats.adapters import aggregate_adapters, read_adapter
from clair_stats.adapters import run as run_module
from clair_stats.cli.app import app
from tests.adapters.folders import MODULES, config, federation, tensors, truncated, write

BAD = (2, 7)


def products(folder):
    return {module: np.matmul(*product.factors()) for module, product in read_adapter(folder).products.items()}


def verdicts(result):
    return {row.name: row.verdict for row in result.report.rows}


@pytest.fixture(scope="module")
def clients(tmp_path_factory):
    root = tmp_path_factory.mktemp("federation")
    return root, federation(root / "in", bad=BAD)


@pytest.fixture(scope="module")
def exact(clients):
    root, folders = clients
    return aggregate_adapters(folders, output=root / "out"), folders, root / "out"


def test_the_bad_ones_are_flagged_and_say_why(exact):
    result, _, output = exact
    flagged = {name for name, verdict in verdicts(result).items() if verdict == "flagged"}
    assert flagged == {"client02", "client07"}
    first = result.report.rows[0]
    assert first.name in flagged
    assert first.worst_module in MODULES
    assert first.worst_module in first.reason
    document = json.loads((output / "report.json").read_text())
    assert document["verdict"] == "somebody flagged"
    assert {c["name"] for c in document["clients"] if c["verdict"] == "flagged"} == flagged
    assert set(document["clients"][0]["modules"]) == set(MODULES)


def test_the_aggregate_is_the_exact_mean_of_the_others(exact):
    result, folders, output = exact
    benign = [products(folder) for k, folder in enumerate(folders) if k not in BAD]
    found = products(output / "aggregate")
    for module, block in found.items():
        np.testing.assert_allclose(block, np.mean([own[module] for own in benign], axis=0), atol=1e-5)
    assert result.report.aggregate_energy_lost < 1e-12


def test_refined_adapters_are_those_of_the_model_and_flagged_ones_stay(exact):
    result, folders, output = exact
    for k in (0, 2):
        found, own = products(output / "refined" / f"client{k:02d}"), products(folders[k])
        for module, block in found.items():
            np.testing.assert_allclose(block, np.matmul(*result.model.refined_factors_[module][k]), atol=1e-5)
            assert np.allclose(block, own[module], atol=1e-5) == (k in BAD)


def test_the_same_verdict_as_in_memory(exact):
    result, folders, _ = exact
    own = [products(folder) for folder in folders]
    dense = {module: ClientEstimates(values=np.stack([client[module] for client in own])) for module in MODULES}
    in_memory = CLAIR().fit(dense)
    np.testing.assert_array_equal(in_memory.collaborative_set_, result.model.collaborative_set_)


def test_a_cap_on_the_rank_says_what_it_loses(clients, tmp_path):
    _, folders = clients
    result = aggregate_adapters(folders, output=tmp_path / "out", rank=2, refined=False)
    assert all(product.rank == 2 for product in read_adapter(tmp_path / "out" / "aggregate").products.values())
    assert 0.0 < result.report.aggregate_energy_lost < 0.5
    assert not (tmp_path / "out" / "refined").exists()


def test_the_table_and_the_page_say_what_the_cap_cost_each_client(clients, tmp_path):
    root, _ = clients
    words = ["adapters", str(root / "in"), "--output", str(tmp_path / "out"), "--rank", "2", "--jobs", "1"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "160"})
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    lost = {client["name"]: client["energy_lost"] for client in report["clients"]}
    assert all(0.0 < share < 1.0 for share in lost.values())
    page = (tmp_path / "out" / "report.html").read_text()
    for name, share in lost.items():
        line = next(line for line in done.stdout.splitlines() if name in line and "flagged:" not in line)
        assert f"{100 * share:.2g} %" in line
        assert f"{100 * share:.2g} %" in page


def spoil(folder, kind):
    weights, settings = folder / "adapter_model.safetensors", folder / "adapter_config.json"
    if kind == "huge":  # finite, but what is added to the model is not
        content = bytearray(weights.read_bytes())
        content[-4:] = np.float32(3e38).tobytes()
        weights.write_bytes(bytes(content))
    elif kind == "NaN":
        content = bytearray(weights.read_bytes())
        content[-4:] = np.float32(np.nan).tobytes()
        weights.write_bytes(bytes(content))
    elif kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif kind == "gone":
        weights.unlink()
    else:
        changes = {"foreign": {"base_model_name_or_path": "tiny/gpt2"}, "rank": {"r": 5}, "DoRA": {"use_dora": True}}
        settings.write_text(json.dumps(config(**changes[kind])))


def test_damaged_and_foreign_clients_are_quarantined_and_the_others_finish(tmp_path):
    folders = federation(tmp_path / "in", n_clients=18, bad=BAD)
    kinds = {9: "huge", 10: "NaN", 11: "truncated", 12: "gone", 13: "foreign", 14: "rank", 15: "DoRA"}
    for k, kind in kinds.items():
        spoil(folders[k], kind)
    odd = write(tmp_path / "in" / "odd", tensors({"model.layers.0.q_proj": (np.ones((24, 4)), np.ones((4, 16)))}))
    result = aggregate_adapters([*folders, odd], output=tmp_path / "out")
    found = verdicts(result)
    quarantined = {name for name, verdict in found.items() if verdict == "quarantined"}
    assert quarantined == {*(f"client{k:02d}" for k in kinds), "odd"}
    assert {name for name, verdict in found.items() if verdict == "flagged"} == {"client02", "client07"}
    reasons = {row.name: row.reason for row in result.report.rows}
    assert "beyond those of float32" in reasons["client09"]
    assert "NaN" in reasons["client10"]
    assert "gpt2" in reasons["client13"]
    assert "misses model.layers.0.v_proj" in reasons["odd"]
    assert sorted(p.name for p in (tmp_path / "out" / "refined").iterdir()) == sorted(set(found) - quarantined)


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda blocks, k: (-blocks[0], blocks[1]), "points against the benign mean"),
        (lambda blocks, k: (100.0 * blocks[0], blocks[1]), "times the usual size"),
    ],
    ids=["sign", "size"],
)
def test_reasons_in_words(tmp_path, change, phrase):
    rng = np.random.default_rng(8)
    shared = {module: rng.normal(size=(p, 2)) @ rng.normal(size=(2, q)) for module, (p, q) in MODULES.items()}
    folders = []
    for k in range(16):
        factors = {}
        for module, (p, q) in MODULES.items():
            u, d, vt = np.linalg.svd(shared[module] + 0.2 * rng.normal(size=(p, q)), full_matrices=False)
            pair = (u[:, :4] * d[:4], vt[:4])
            factors[module] = change(pair, k) if k == 3 else pair
        folders.append(write(tmp_path / f"c{k:02d}", tensors(factors)))
    result = aggregate_adapters(folders)
    assert verdicts(result)["c03"] == "flagged"
    assert phrase in next(row.reason for row in result.report.rows if row.name == "c03")


def test_too_few_clients_get_no_verdict_and_no_aggregate(tmp_path):
    folders = federation(tmp_path / "in", n_clients=2, bad=())
    result = aggregate_adapters(folders, output=tmp_path / "out")
    assert result.report.verdict == "no verdict"
    assert set(verdicts(result).values()) == {"undecided"}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["report.html", "report.json"]


def test_nothing_is_overwritten_or_left_half_written(clients, tmp_path, monkeypatch):
    root, folders = clients
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="nothing is overwritten"):
        aggregate_adapters(folders, output=tmp_path / "full")
    with pytest.raises(ValueError, match="lies in the input"):
        aggregate_adapters([root / "in"], output=root / "in" / "out")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module, "write_report", full_disk)
    with pytest.raises(OSError, match="No space"):
        aggregate_adapters(folders, output=tmp_path / "out", refined=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]


def test_a_name_is_text_in_the_page(tmp_path):
    folders = federation(tmp_path / "in", bad=BAD)
    hostile = folders[2].rename(tmp_path / "in" / "<script>alert(1)<")
    aggregate_adapters([hostile, *(f for f in folders if f.name != "client02")], output=tmp_path / "out", refined=False)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_command_and_exit_status(clients, tmp_path):
    root, _ = clients
    words = ["adapters", str(root / "in"), "--output", str(tmp_path / "out"), "--no-refined", "--json"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "r.json")], env={"COLUMNS": "160"})
    assert done.exit_code == 3, done.output
    assert "2 of 16 adapters flagged" in done.stdout
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads((tmp_path / "out" / "report.json").read_text())
    again = CliRunner().invoke(app, words[:-1])
    assert again.exit_code == 2
    assert "nothing is overwritten" in again.stderr
    clean = federation(tmp_path / "clean", bad=())
    done = CliRunner().invoke(app, ["adapters", *map(str, clean), "--output", str(tmp_path / "c"), "--level", "1e-6"])
    assert done.exit_code == 0, done.output


def test_no_folder_and_no_common_model_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        aggregate_adapters([tmp_path / "nowhere"])
    folders = federation(tmp_path / "in", n_clients=4, bad=())
    for k, folder in enumerate(folders):
        (folder / "adapter_config.json").write_text(json.dumps(config(base_model_name_or_path=f"model{k}")))
    with pytest.raises(ValueError, match="4 different models"):
        aggregate_adapters(folders)


def test_a_client_that_points_away_is_named_on_table_page_and_json_and_not_flagged(tmp_path):
    generator = np.random.default_rng(5)
    factors = [{} for _ in range(16)]
    for module, (p, q) in MODULES.items():
        basis, common = np.linalg.qr(generator.normal(size=(p, 2)))[0], generator.normal(size=(2, q))
        for k, own in enumerate(factors):
            block = basis @ (0.6 * common + generator.normal(size=(2, q))) * (-1.0 if k == 4 else 1.0)
            own[module] = truncated(block + 0.1 * generator.normal(size=(p, q)), 4)
    for k, own in enumerate(factors):
        write(tmp_path / "in" / f"client{k:02d}", tensors(own))
    words = ["adapters", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--jobs", "1", "--no-refined"]
    done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.stdout
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    row = next(client for client in report["clients"] if client["name"] == "client04")
    assert [client["name"] for client in report["clients"] if client["against"]] == ["client04"]
    assert (row["verdict"], report["verdict"]) == ("benign", "nobody flagged")
    assert row["alignment"] < report["alignment_threshold"] <= 0.0
    assert row["alignment_p_value"] < 0.01
    assert "points away" in row["reason"]
    line = next(line for line in done.stdout.splitlines() if "client04" in line and "away from the others:" not in line)
    assert f"{row['alignment']:.2f}" in line
    page = (tmp_path / "out" / "report.html").read_text()
    assert ">alignment</th>" in page
    assert f"{row['alignment']:.3g}" in page

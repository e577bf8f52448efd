"""``missing="drop"``: clients that cannot be used are named, and the others are fitted as if they had been alone."""

import json
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from clair_stats import CLAIR, ClientEstimates
from clair_stats.cli.app import app
from tests.hardening.cases import K, shared

X = shared()[0] + np.where(np.arange(K) == 1, 1.0, 0.0)[:, None, None]  # client 1 is contaminated
OTHERS = {f"site {k}": X[k] for k in range(K)}
UNUSABLE = {
    "NaN": np.where(np.eye(6, 4) == 1, np.nan, X[0]),
    "infinite": np.full((6, 4), np.inf),
    "text": np.full((6, 4), "a"),
    "objects": np.full((6, 4), None),
    "complex": X[0] * 1j,
    "shape": X[0].T,
    "a vector": X[0][0],
    "empty": np.zeros((0, 4)),
    "masked": np.ma.masked_less(X[0], 0),
    "nothing": None,
}


def fitted(estimates, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return CLAIR(missing="drop").fit(estimates, **options)


@pytest.mark.parametrize("bad", UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_client_is_named_and_the_others_finish(bad):
    given = {**dict(list(OTHERS.items())[:5]), "odd": bad, **OTHERS}
    model, alone = fitted(given), CLAIR().fit(dict(sorted(OTHERS.items(), key=lambda item: list(given).index(item[0]))))
    assert list(model.quarantined_) == ["odd"]
    assert model.quarantined_["odd"]
    assert model.client_names_ == alone.client_names_
    np.testing.assert_array_equal(model.flagged_, alone.flagged_)
    np.testing.assert_array_equal(model.refined_, alone.refined_)
    assert model.flagged_.sum() == 1
    row = model.to_frame().loc["odd"]
    assert row.verdict == "quarantined"
    assert np.isnan(row.p_value)
    assert "odd" in model.summary()
    with pytest.raises((TypeError, ValueError), match=r"odd|client|values"):
        CLAIR().fit(given)


def test_a_warning_says_who_is_set_aside():
    blocks = X.copy()
    blocks[7, 0, 0] = np.nan
    with pytest.warns(UserWarning, match="client 7 has 1 entries that are NaN"):
        model = CLAIR(missing="drop").fit(blocks)
    assert model.client_names_ == tuple(f"client {k}" for k in range(K) if k != 7)


def test_scales_go_with_their_clients():
    scales = np.full(K, 0.1)
    scales[3] = np.nan
    blocks = X.copy()
    blocks[5] = np.inf
    model = fitted(blocks, noise_scales=scales)
    assert set(model.quarantined_) == {"client 3", "client 5"}
    assert "noise_scales is nan" in model.quarantined_["client 3"]
    kept = [k for k in range(K) if k not in (3, 5)]
    alone = CLAIR().fit(X[kept], noise_scales=scales[kept])
    np.testing.assert_array_equal(model.p_values_, alone.p_values_)
    with pytest.raises(ValueError, match="noise_scales: 2 entries"):
        fitted(blocks, noise_scales=[0.1, 0.1])


def test_a_client_that_is_unusable_in_one_module_is_out_of_all():
    rng = np.random.default_rng(5)
    other = {name: block + 0.1 * rng.standard_normal((6, 4)) for name, block in OTHERS.items()}
    other["site 4"] = np.full((6, 4), np.nan)
    modules = {"a": ClientEstimates(values=OTHERS), "b": np.stack(list(other.values()))}
    named = {"a": ClientEstimates(values=X), "b": modules["b"]}
    model = fitted(named)
    assert list(model.quarantined_) == ["client 4"]
    assert model.quarantined_["client 4"].startswith("module b: has 24 entries")
    kept = [k for k in range(K) if k != 4]
    alone = CLAIR().fit(
        {
            name: ClientEstimates(values=np.asarray(b.dense() if isinstance(b, ClientEstimates) else b)[kept])
            for name, b in named.items()
        }
    )
    np.testing.assert_array_equal(model.flagged_, alone.flagged_)
    np.testing.assert_array_equal(model.refined_["a"], alone.refined_["a"])


def test_nobody_usable_is_an_error():
    with pytest.raises(ValueError, match=r"no client can be used; client 0: has 24 entries"):
        fitted(np.full((K, 6, 4), np.nan))
    with pytest.raises(ValueError, match="missing: 'x'; give 'raise' or 'drop'"):
        CLAIR(missing="x").fit(X)


def write_csv(folder, name, block):
    (folder / f"{name}.csv").write_text("\n".join(",".join(map(str, row)) for row in block) + "\n")


def test_the_command_line_sets_aside_and_names(tmp_path):
    blocks = X.copy()
    blocks[7, 0, 0] = np.nan
    np.savez(tmp_path / "clients.npz", estimates=blocks, noise_scales=np.full(K, 0.1))
    folder = tmp_path / "sites"
    folder.mkdir()
    for k in range(K):
        write_csv(folder, f"client {k:02d}", X[k])
    write_csv(folder, "bad", [["1", "what"], ["2", "3"]])
    long = "\n".join(
        ["client,row,column,value"]
        + [f"c{k},{i},{j},{X[k, i, j]}" for k in range(K) for i in range(6) for j in range(4) if (k, i, j) != (7, 2, 3)]
    )
    (tmp_path / "long.csv").write_text(long)
    run = CliRunner().invoke
    for source, name in ((tmp_path / "clients.npz", "client 7"), (folder, "bad"), (tmp_path / "long.csv", "c7")):
        assert run(app, ["inspect", str(source)]).exit_code == 2
        done = run(app, ["inspect", str(source), "--drop-missing", "--json"])
        assert done.exit_code == 3, done.output
        verdicts = {row["name"]: row["verdict"] for row in json.loads(done.stdout)["clients"]}
        assert [client for client, verdict in verdicts.items() if verdict == "quarantined"] == [name]
        assert list(verdicts.values()).count("flagged") == 1
        assert f"{name} is set aside" in done.stderr
    table = run(app, ["inspect", str(tmp_path / "clients.npz"), "--drop-missing"], env={"COLUMNS": "140"}).stdout
    assert "quarantined" in table
    out = tmp_path / "out.npz"
    assert run(app, ["refine", str(tmp_path / "clients.npz"), "--drop-missing", "--output", str(out)]).exit_code == 0
    with np.load(out) as arrays:
        assert arrays["quarantined"].tolist() == ["client 7"]
        assert len(arrays["client_names"]) == K - 1

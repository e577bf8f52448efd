"""Methods beside a reference and beside the best of others: pairing, errors, counts, and what is refused."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from typer.testing import CliRunner

from simulations.cli import app
from simulations.measures.pairing import against_best, counts_of, paired_to, references
from simulations.studies.copying import STUDY as COPYING
from simulations.studies.equal_knowledge import STUDY as EQUAL


def _values(seed, sizes, n=8):
    rng = np.random.default_rng(seed)
    common = rng.uniform(1.0, 2.0, n)
    return {name: size * common * np.exp(0.02 * rng.standard_normal(n)) for name, size in sizes.items()}


def _long(values, key, **fixed):
    return pd.concat(
        [pd.DataFrame({key: name, "replication": range(len(own)), "x": own, **fixed}) for name, own in values.items()]
    )


def test_differences_are_paired_by_replication_and_undefined_ones_left_out():
    values = _values(0, {"a": 1.0, "b": 0.9})
    values["b"][2] = np.nan
    rows = _long(values, "cell").sample(frac=1.0, random_state=1)
    found = paired_to(rows, {"b": "a"}, "x").loc["b"]
    keep = ~np.isnan(values["b"])
    first, second = values["b"][keep], values["a"][keep]
    assert found["n"] == 7
    assert found["difference"] == pytest.approx(np.mean(first - second))
    assert found["reference"] == pytest.approx(second.mean())
    assert found["p_worse"] == pytest.approx(ttest_rel(first, second, alternative="less").pvalue)
    assert found["error"] < np.nanstd(values["b"]) / 4  # the common part is gone


def test_a_reference_differs_in_one_field_alone():
    pairs = references(COPYING, "aggregation=local")
    cells = {cell.hash: cell.method for cell in COPYING.cells}
    assert len(pairs) == len(COPYING.cells) - 2
    for cell, reference in pairs.items():
        assert cells[reference].aggregation == "local"
        assert cells[reference].rounds == cells[cell].rounds
    with pytest.raises(ValueError, match="--paired aggregation=nothing: no method has it; aggregation is one of"):
        references(COPYING, "aggregation=nothing")


def test_the_best_rival_is_chosen_setting_by_setting():
    first = _long(_values(1, {"mine": 0.8, "r": 1.0, "s": 0.9}), "method", setting="one")
    second = _long(_values(2, {"mine": 1.2, "r": 1.0, "s": 1.1}), "method", setting="two")
    found = against_best(pd.concat([first, second]), "x", "mine", ["r", "s"])
    assert list(found["best"]) == ["s", "r"]
    assert found["ratio"].to_numpy() == pytest.approx([0.8 / 0.9, 1.2], rel=0.03)
    assert found.loc["two", "p_worse"] < 0.001 < 0.999 < found.loc["one", "p_worse"]
    text = counts_of(found)
    assert "behind in 1, in 1 beyond Monte Carlo error" in text
    assert "ahead in 1, in 1 beyond Monte Carlo error" in text
    assert "behind r: 1" in text
    assert "2 settings: ratio to the best 1.0" in text


def test_equal_values_are_neither_behind_nor_ahead():
    values = _values(3, {"mine": 1.0})
    rows = _long({"mine": values["mine"], "r": values["mine"]}, "method", setting="one")
    assert "behind in 0, in 0 beyond" in counts_of(against_best(rows, "x", "mine", ["r"]))
    assert "ahead in 0, in 0 beyond" in counts_of(against_best(rows, "x", "mine", ["r"]))


def test_the_command_counts_the_settings(monkeypatch, tmp_path):
    rng = np.random.default_rng(4)
    lines = []
    for cell in EQUAL.cells:
        size = 1.1 if cell.method.name == "CLAIR, told" else 1.0 + 0.5 * (cell.method.method != "armul_low_rank")
        lines += [{"cell": cell.hash, "replication": i, "refined_mse": size + 0.01 * rng.random()} for i in range(3)]
    monkeypatch.setattr("simulations.commands.pairing.load_rows", lambda *_: pd.DataFrame(lines))
    asked = ["summarise", "equal_knowledge", "--store", str(tmp_path / "s.sqlite"), "--best"]
    found = CliRunner().invoke(app, [*asked, "CLAIR, told"])
    assert found.exit_code == 0, found.output
    assert "behind armul_low_rank: 24" in found.output
    assert found.output.count("of armul_low_rank, paired p = ") == 24
    other = CliRunner().invoke(app, [*asked, "flagged=inform", "--among", "CLAIR, told"])
    assert "24 settings: ratio to the best 1.0" in other.output
    with pytest.raises(ValueError, match="--best CLAIRE: no method of equal_knowledge"):
        CliRunner().invoke(app, [*asked, "CLAIRE"], catch_exceptions=False)


def test_the_command_pairs_every_method(monkeypatch, tmp_path):
    names = ("own_accuracy", "common_accuracy", "common_rule_accuracy", "own_sequences", "own_loss", "exact_set")
    lines = [
        {"cell": cell.hash, "replication": i, **dict.fromkeys(names, 0.5 + 0.1 * (cell.method.aggregation == "clair"))}
        for cell in COPYING.cells
        for i in range(3)
    ]
    monkeypatch.setattr("simulations.commands.pairing.load_rows", lambda *_: pd.DataFrame(lines))
    asked = ["summarise", "copying", "--store", str(tmp_path / "s.sqlite"), "--paired", "aggregation=local"]
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    assert found.output.count("mean own_accuracy of aggregation=local 0.5, difference 0.1") == 2
    assert found.output.count("difference") == 6 * (len(COPYING.cells) - 2)

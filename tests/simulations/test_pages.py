"""Pages with tables by a command: parts between marks, and the figures of the two tables against their rows."""

import numpy as np
import pandas as pd
import pytest

from simulations.commands.incomplete import table_of_handlings
from simulations.commands.parts import replaced, write_parts
from simulations.commands.real import error_table, errors_of, planted_table

PAGE = "before\n<!-- begin one -->\nold\n<!-- end one -->\nafter\n"


def test_only_what_stands_between_the_marks_is_renewed(tmp_path):
    assert replaced(PAGE, {"one": "new \\1"}) == "before\n<!-- begin one -->\n\nnew \\1\n\n<!-- end one -->\nafter\n"
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    write_parts(page, {"one": "new"})
    write_parts(page, {"one": "newer"})
    assert page.read_text(encoding="utf-8").count("newer") == 1
    assert "old" not in page.read_text(encoding="utf-8")
    for text in ("no marks", PAGE + PAGE):
        with pytest.raises(ValueError, match="<!-- begin one -->"):
            replaced(text, {"one": "new"})


def real_rows():
    generator = np.random.default_rng(0)
    methods = (("Local", np.nan), ("Federated average", np.nan), ("Mixed model", np.nan), ("ARMUL", 1), ("ARMUL", 2))
    common = {"data": "exam", "training": "few", "status": "ok", "average_explained": 0.25}
    clair = {"accused": 2.0, "majority": 0.5, "recall": 0.75}
    return pd.DataFrame(
        [
            {**common, **clair, "planted": planted, "method": method, "method.rank": rank, "replication": replication}
            | {"explained": generator.random()}
            for planted in ("none", "reversed")
            for method, rank in (*methods, ("CLAIR", np.nan))
            for replication in range(4)
        ]
    )


def test_errors_are_one_minus_what_is_explained_and_armul_has_its_best_rank():
    rows = real_rows()
    errors = errors_of(rows)
    own = rows[rows["planted"] == "none"].set_index(["method", "method.rank"])["explained"]
    clean = errors.xs("none", level="planted")
    assert clean["own"].mean() == pytest.approx(1 - own["Local"].mean())
    assert clean["ARMUL"].mean() == pytest.approx(1 - max(own["ARMUL"].groupby(level=0).mean()))
    assert (errors["CLAIR average"] == 0.75).all()
    line = error_table(errors).splitlines()[2]
    difference = clean["CLAIR"] - clean["own"]
    half = 3.182446305284263 * difference.std(ddof=1) / 2.0  # t quantile of 3 degrees of freedom, √4 = 2
    assert f"{difference.mean():+.4f} ± {half:.4f}".replace("-", "−") in line
    assert (
        planted_table(rows).splitlines()[2]
        == "| exam | few | 2.0 (0.0), 0.50 | 0.75 (0.00), 2.0 (0.0), 0.50 | – | – | – |"
    )


def test_without_a_majority_there_is_no_false_alarm_and_nobody_is_found():
    common = {
        "pattern": "random",
        "missing": 0.2,
        "handling": "mean",
        "excess": 0.5,
        "coverage": 0.9,
        "shared_bias": 2.0,
    }
    rows = pd.DataFrame(
        [
            {**common, "share": share, "method": method, "status": "ok", "majority": majority, "false_alarm": 1.0,
             "recall": 1.0, "exact_set": 0.0}
            for share in (0.0, 0.25)
            for method in ("Local", "Local law", "CLAIR with covariance")
            for majority in (0.0, 1.0)
        ]
    )  # fmt: skip
    cells = [cell.strip() for cell in table_of_handlings(rows).splitlines()[2].split("|")[1:-1]]
    assert cells[:6] == ["random", "0.2", "mean", "0.500 (0.000)", "0.900 (0.000)", "2.0 (0.0)"]
    assert cells[6:10] == ["0.50 (0.50)", "0.50 (0.50)", "0.00 (0.00)", "0.50 (0.50)"]
    assert cells[-1] == "0"

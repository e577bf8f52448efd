"""The detector without a piece: the piece comes back, the table pairs, every piece can change a verdict."""

import numpy as np
import pandas as pd
import pytest

from clair_stats.detection import decide as decide_module
from simulations.commands.ablation import ablation_table
from simulations.design import content_hash
from simulations.methods.ablated import PIECES, DetectorWithout
from simulations.streams import Streams
from simulations.studies.detector_ablation import GROUPS, STUDY


def test_every_piece_names_something_that_is_there_and_comes_back():
    regime = GROUPS["few columns"][1]
    instance = regime.generate(Streams(1, content_hash(regime), 0))
    generator = np.random.default_rng(0)
    before = {name: getattr(*place[:2]) for name, place in PIECES.items() if place is not None}
    for piece in PIECES:
        metrics = DetectorWithout(piece).evaluate(instance, generator)
        assert set(metrics) >= {"exact_set", "false_alarm", "majority"}
    assert {name: getattr(*place[:2]) for name, place in PIECES.items() if place is not None} == before
    assert decide_module.used_by_all.__module__ == "clair_stats.detection.generic_use"


def test_without_generic_use_a_coordinated_minority_is_let_in():
    regime = GROUPS["many columns"][1]
    instance = regime.generate(Streams(2, content_hash(regime), 0))
    generator = np.random.default_rng(0)
    assert DetectorWithout().evaluate(instance, generator)["exact_set"] == 1.0
    assert DetectorWithout("generic use").evaluate(instance, generator)["exact_set"] == 0.0


def test_clients_of_unequal_scale_are_told_apart_by_norms_divided_out_alone():
    regime = GROUPS["unequal adapters"][1]
    instance = regime.generate(Streams(2, content_hash(regime), 0))
    generator = np.random.default_rng(0)
    assert DetectorWithout().evaluate(instance, generator)["exact_set"] == 1.0
    assert DetectorWithout("norms divided out").evaluate(instance, generator)["exact_set"] == 0.0


def test_an_unknown_piece_is_refused():
    with pytest.raises(ValueError, match="everyone first"):
        DetectorWithout("luck")


def test_the_table_holds_paired_differences_with_their_errors():
    rows = pd.DataFrame(
        {
            "group": "g",
            "design": "d",
            "replication": [0, 1, 2, 3] * 2,
            "method.piece": ["nothing"] * 4 + ["x"] * 4,
            "exact_set": [1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0],
            "false_alarm": [0.0] * 8,
        }
    )
    table = ablation_table(rows)
    error = 100 * np.std([0, -1, 0, 0], ddof=1) / 2
    assert table.loc["x", "g: exact"] == f"-25.0 ± {error:.1f}"
    assert table.loc["nothing", "g: exact"].startswith("75.0")
    assert table.loc["x", "g: alarm"] == "+0.0 ± 0.0"


def test_the_study_crosses_every_design_with_every_piece():
    assert len(STUDY.cells) == sum(map(len, GROUPS.values())) * len(PIECES)

"""Tables of the copying page against their definitions on drawn rows; what is missing is named."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from reports.inputs import StudyInput
from reports.renderers.copying.accuracy import accuracy_table, paired_table
from reports.renderers.copying.detection import (
    contamination_tables,
    exact_sentence,
    level_sentence,
    misses,
    source_table,
)
from reports.renderers.copying.gain import map_table
from reports.renderers.copying.names import NAMES
from reports.renderers.copying.page import write_page
from reports.tables import to_markdown
from simulations.studies.copying import STUDY as METHODS
from simulations.studies.copying_contaminations import STUDY as CONTAMINATIONS
from simulations.studies.copying_map import STUDY as MAP

RNG = np.random.default_rng(20261125)
ACCURACIES = ("own_accuracy", "common_accuracy", "common_rule_accuracy", "own_sequences")


def method_rows():
    return pd.DataFrame(
        [
            {
                "method.rounds": cell.method.rounds,
                "method.aggregation": cell.method.aggregation,
                "replication": replication,
                **{name: RNG.random() for name in ACCURACIES},
            }
            for cell in METHODS.cells
            for replication in range(6)
        ]
    )


def test_accuracies_and_paired_differences_are_those_of_the_rows():
    rows = method_rows()
    table = accuracy_table(rows)
    assert len(table.groups[0].rows) == len(METHODS.cells)
    own = rows[(rows["method.rounds"] == 3) & (rows["method.aggregation"] == "clair")]["own_accuracy"].to_numpy()
    (line,) = [row for row in table.groups[0].rows if row[:2] == ("CLAIR", "3")]
    assert line[2] == f"{own.mean():.3f} ({own.std(ddof=1) / math.sqrt(own.size):.3f})"
    local = rows[(rows["method.rounds"] == 3) & (rows["method.aggregation"] == "local")]["own_accuracy"].to_numpy()
    (line,) = [row for row in paired_table(rows).groups[0].rows if row[:2] == ("local", "3")]
    half = 2.570582 * (own - local).std(ddof=1) / math.sqrt(6)  # t quantile 0.975 on 5 degrees of freedom
    mean = (own - local).mean()
    assert line[2] == f"{mean:+.3f} [{mean - half:+.4f}, {mean + half:+.4f}]"


def detections(exact, total=300):
    line = {"true_positives": 3.0, "false_negatives": 0.0, "false_positives": 0.0, "method.level": 0.02}
    return pd.DataFrame([{**line, "exact_set": k < exact, "any_false_alarm": k < total - exact} for k in range(total)])


@pytest.mark.parametrize(("exact", "word"), [(300, "shown"), (288, "not shown"), (200, "refuted")])
def test_rate_of_exact_sets_by_the_rule_fixed_before(exact, word):
    text = exact_sentence(detections(exact))
    assert text.startswith(f"Exact set in {exact} of 300 ")
    assert f"**{word}**" in text


def test_level_is_kept_where_the_interval_does_not_lie_above_it():
    assert "**kept**" in level_sentence(detections(296))
    assert "**not kept**" in level_sentence(detections(270))


def test_each_source_of_candidates_has_its_line_and_its_misses():
    consensus, program = detections(300), detections(200)
    rows = pd.concat(
        part.assign(**{"method.detection": source, "regime.contaminated_share": share})
        for source, part in (("consensus", consensus), ("program", program))
        for share in (0.3, 0.0)
    )
    lines = source_table(rows).groups[0].rows
    assert [line[0] for line in lines] == ["CLAIR", "CLAIR (program)"]
    assert lines[0][1].startswith("300 of 300 ")
    assert lines[1][1].startswith("200 of 300 ")
    assert lines[1][2] == "900, 0, 0"
    assert lines[1][3].startswith("100 of 300 ")
    # Only the program misses, the exact set and the level; without clean federations there is nothing to say of those.
    found = misses(rows)
    assert len(found) == 2
    assert all(sentence.startswith("CLAIR (program): ") for sentence in found)
    assert source_table(rows[rows["regime.contaminated_share"] > 0]).groups[0].rows[0][3] == "not run"


def test_every_kind_has_its_line_and_the_backdoor_its_own_table():
    methods = ("local", "average", "coordinate_median", "geometric_median", "krum", "multi_krum", "clair")
    lines = []
    for kind, source in (("backdoor", "tokens"), ("random_mapping", "text")):
        for method, shared in [*((m, "columns") for m in (*methods, "oracle_average")), ("clair", "rows")]:
            lines.append(
                {
                    "method.aggregation": method,
                    "method.shared": shared,
                    "regime.contamination": kind,
                    "regime.source": source,
                    "own_accuracy": 0.5 + (method == "krum") / 4,
                    "backdoor_success": 0.25,
                    "exact_set": 1.0,
                    "true_positives": 4.0,
                    "false_negatives": 2.0,
                    "false_positives": 1.0,
                }
            )
    kinds, backdoor = contamination_tables(pd.concat([pd.DataFrame(lines)] * 2))
    assert [row[0] for row in kinds.groups[0].rows] == ["backdoor", "random mapping, text"]
    assert kinds.groups[0].rows[0][1:3] == ("2 of 2", "8, 4, 2")
    assert kinds.groups[0].rows[0][3 + methods.index("krum")] == "0.75 (0.00)"
    assert len(backdoor.groups[0].rows) == 1


def test_map_has_one_line_per_setting():
    names = [measure.metric for measure in MAP.measures]
    lines = [
        {
            "regime.n_sequences": n,
            "regime.spread": spread,
            "regime.contaminated_share": 0.1,
            **dict.fromkeys(names, n + spread),
        }
        for n, spread in itertools.product((4, 16), (0.5, 1.5))
    ]
    text = to_markdown(map_table(pd.DataFrame(lines))).splitlines()
    assert text[0].startswith("| n | spread | share | local |")
    assert text[1] == "|" + "---|" * (3 + len(names))
    assert text[2:][-1].startswith("| 16 | 1.5 | 0.1 | 17.50 |")
    assert len(text) == 6


def test_a_page_without_all_its_studies_names_what_lacks(tmp_path):
    item = StudyInput(METHODS, pd.DataFrame(), (), 0, 0)
    with pytest.raises(ValueError, match="no rows for detection, exact_set, contaminations, map; run the copying"):
        write_page([item], tmp_path)
    with pytest.raises(ValueError, match="both shown as 'methods'"):
        write_page([item, item], tmp_path)
    with pytest.raises(FileNotFoundError, match="study copying: no store"):
        item.rows()


def test_every_way_of_aggregation_has_a_name():
    used = {cell.method.aggregation for study in (METHODS, CONTAMINATIONS) for cell in study.cells}
    assert used <= set(NAMES)

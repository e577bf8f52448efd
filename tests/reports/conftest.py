import pytest

from reports.document import build
from reports.reading import read_inputs


@pytest.fixture(scope="session")
def built_once(tmp_path_factory):
    """The report on a small results folder, for all files of tests; who changes it copies it first."""
    from tests.reports.test_build import small_results

    folder = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as monkeypatch:
        build(read_inputs(small_results(folder / "results", monkeypatch)), folder / "out", pdf=False)
    return folder / "out"

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from simulations.design import Cell, Study, content_hash, crossed, grid, levels
from simulations.presentation import Criteria, Plain
from simulations.streams import Streams
from simulations.studies import find_study, studies
from simulations.toml_design import read_toml
from tests.engine.toys import Normal, SampleMean, TrimmedMean, small


@dataclass(frozen=True)
class Versioned:
    name: ClassVar[str] = "normal"
    version: ClassVar[int] = 2
    mean: float = 0.0
    n: int = 5

    def generate(self, streams: Streams) -> Any:
        return None


def test_hash_is_pinned() -> None:
    # A change of this number orphans every store in the world; it must never happen by accident.
    assert content_hash(Normal(mean=0.5, n=7)) == "d309bbbac946654d4b1ac0b0ba3ec21b882e43ef3283505d6dfe9852d341356d"


def test_hash_depends_on_values_and_on_nothing_else() -> None:
    assert content_hash(Normal(mean=1)) == content_hash(Normal(mean=1.0)) == content_hash(Normal(mean=np.float64(1)))
    assert content_hash(Normal(mean=-0.0)) == content_hash(Normal(mean=0.0))
    different = [Normal(), Normal(mean=0.1), Normal(n=6), Versioned(), SampleMean()]
    assert len({content_hash(part) for part in different}) == len(different)
    assert Cell(Normal(), SampleMean()).hash != Cell(Normal(), TrimmedMean()).hash
    assert Cell(Normal(), SampleMean()).regime_hash == Cell(Normal(), TrimmedMean()).regime_hash


def test_grid_crosses_and_nests() -> None:
    made = grid(Normal, nested=[{"mean": 0.0, "n": 4}, {"mean": levels(1.0, 2.0), "n": 8}])
    assert made == (Normal(0.0, 4), Normal(1.0, 8), Normal(2.0, 8))
    full = grid(Normal, mean=levels(0.0, 1.0), n=levels(4, 8))
    assert full == (Normal(0.0, 4), Normal(0.0, 8), Normal(1.0, 4), Normal(1.0, 8))
    assert len(crossed(full, [SampleMean(), TrimmedMean()])) == 8


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"replications": 0}, "replications is 0"),
        ({"replications": 2.5}, "replications is 2.5"),
        ({"root_seed": -1}, "root_seed is -1"),
        ({"name": "a/b"}, "study name 'a/b'"),
        ({"cells": ()}, "no cells"),
        ({"cells": (Cell(Normal(), SampleMean()),) * 2}, "there twice"),
        ({"cells": (Cell(Normal(mean=1), SampleMean()), Cell(Normal(mean=1.0), SampleMean()))}, "there twice"),
    ],
)
def test_bad_studies_are_refused(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        replace(small(), **change)


def test_bad_parts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"Normal\.mean is nan"):
        Cell(Normal(mean=float("nan")), SampleMean())
    with pytest.raises(TypeError, match=r"Normal\.n is a object"):
        Cell(Normal(n=object()), SampleMean())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no method generate"):
        Cell(SampleMean(), SampleMean())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no method evaluate"):
        Cell(Normal(), SampleMean)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="set both"):
        grid(Normal, nested=[{"mean": 1.0}], mean=2.0)


def test_unfrozen_dataclass_is_refused() -> None:
    @dataclass
    class Loose:
        name: ClassVar[str] = "loose"

        def generate(self, streams: Streams) -> Any:
            return None

    with pytest.raises(TypeError, match="frozen"):
        Cell(Loose(), SampleMean())


def test_toml_and_python_give_the_same_design(toy: Any) -> None:
    study = read_toml(toy(replications=20))
    cells = crossed(
        grid(Normal, mean=levels(0.0, 1.0), n=6), [SampleMean(), *grid(TrimmedMean, trim=levels(1, 2), seconds=0.0)]
    )
    assert study.config_hash == Study("toy", "x", cells, 20, 3).config_hash
    assert [m.label for m in study.measures] == ["bias estimate", "estimate − sample_mean"]


def test_toml_says_how_the_report_shows_the_study(toy: Any) -> None:
    path: Path = toy()
    study = read_toml(path)
    assert study.presentation == Plain()
    text = path.read_text(encoding="utf-8")
    path.write_text(f'presentation = {{ type = "Criteria", margin = 0.1 }}\n{text}', encoding="utf-8")
    shown = read_toml(path)
    assert shown.presentation == Criteria(margin=0.1)
    assert shown.config_hash == study.config_hash
    for written, word in (
        ('{ type = "Critera" }', "unknown presentation 'Critera'; did you mean 'Criteria'"),
        ('{ type = "Criteria", margins = 1 }', "unexpected keyword argument 'margins'"),
        ('{ type = "Presentation" }', "unknown presentation"),
    ):
        path.write_text(f"presentation = {written}\n{text}", encoding="utf-8")
        with pytest.raises(ValueError, match=word):
            read_toml(path)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("root_seed = 3", "", "'root_seed' is missing"),
        ("root_seed", "root_sed", "did you mean 'root_seed'"),
        ("toys:Normal", "toys:Norml", "did you mean 'Normal'"),
        ("tests.engine.toys:Normal", "tests.engine.nothing:Normal", "no module 'tests.engine.nothing'"),
        ("tests.engine.toys:Normal", "subprocess:Popen", "is no frozen dataclass"),
        ("tests.engine.toys:Normal", "sys:flags", "is no Python source|no module 'sys'"),
        ("tests.engine.toys:Normal", "simulations.design:Levels", r"has no method generate\(\)"),
        ("crossed = { mean", "crossed = { men", "unexpected keyword argument 'men'"),
        ('"Bias"', '"Bas"', "unknown measure 'Bas'; did you mean 'Bias'"),
        ("name = ", "name ", "not TOML"),
    ],
)
def test_bad_toml_names_file_and_remedy(toy: Any, old: str, new: str, word: str) -> None:
    path: Path = toy()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ValueError, match=word) as caught:
        read_toml(path)
    assert str(path) in str(caught.value)


def test_reading_a_design_runs_nothing_but_modules_that_define_what_it_names(toy: Any, tmp_path: Path) -> None:
    trap = tmp_path / "trap_module.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w').close()\n\n\nclass Normal:\n    pass\n")
    path: Path = toy()
    path.write_text(path.read_text().replace("tests.engine.toys:Normal", "trap_module:Normal", 1))
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ValueError, match="no frozen dataclass"):
            read_toml(path)
    finally:
        sys.path.remove(str(tmp_path))
    assert not (tmp_path / "sprung").exists()
    assert "trap_module" not in sys.modules


def test_unknown_study_gets_the_nearest_name() -> None:
    known = list(studies())
    if known:
        with pytest.raises(ValueError, match=f"did you mean '{known[0]}'"):
            find_study(known[0][:-1])
    with pytest.raises(ValueError, match="unknown study 'zzzzzzzz'"):
        find_study("zzzzzzzz")
    with pytest.raises(ValueError, match="cannot read"):
        find_study("nowhere.toml")


def test_streams_follow_the_contract() -> None:
    # Written out with numpy alone: root, then regime hash, replication and role hash in words of 32 bits.
    import hashlib

    digest = content_hash(Normal())
    role = hashlib.sha256(b"data").hexdigest()
    words = [int(h[8 * i : 8 * i + 8], 16) for h in (digest,) for i in range(4)]
    ending = [int(role[8 * i : 8 * i + 8], 16) for i in range(4)]
    naive = np.random.default_rng(np.random.SeedSequence(7, spawn_key=(*words, 12, *ending)))
    assert np.array_equal(Streams(7, digest, 12).generator("data").random(5), naive.random(5))


def test_streams_differ_in_every_part() -> None:
    one, other = content_hash(Normal()), content_hash(Normal(n=6))
    keys = [(7, one, 0, "data"), (8, one, 0, "data"), (7, other, 0, "data"), (7, one, 1, "data"), (7, one, 0, "noise")]
    draws = [Streams(root, regime, rep).generator(role).random() for root, regime, rep, role in keys]
    assert len(set(draws)) == len(keys)
    with pytest.raises(ValueError, match="replication is -1"):
        Streams(7, one, -1)

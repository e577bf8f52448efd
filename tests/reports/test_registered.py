"""The report lists every try of everything that was registered, and shows it in both forms."""

from reports.document import build
from reports.inputs import Inputs
from reports.registered import registered_table
from simulations.registration import Plan, conclude, enter_earlier, read_registry, register

PLAN = Plan("shares", "d", "r", "s", "register shares")


def test_every_try_is_a_row_with_its_level_and_outcome(tmp_path):
    path = tmp_path / "registry.jsonl"
    assert registered_table(read_registry(path)) is None
    enter_earlier(PLAN, "not held: 0.6 & less", path=path)
    conclude(register(PLAN, path=path), "not held: 0.7", path=path)
    register(PLAN, path=path)
    entries = read_registry(path)
    table = registered_table(entries)
    shown = [(row[0], row[1], row[3], row[4]) for row in table.groups[0].rows]
    assert shown == [
        ("`shares`", "1", "before the registry", "not held: 0.6 & less"),
        ("`shares`", "2", "0.0125", "not held: 0.7"),
        ("`shares`", "3", "0.00625", "no outcome yet"),
    ]
    built = build(Inputs((), (), (), entries=tuple(entries)), tmp_path / "report", pdf=False)
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "What was registered" in page
    assert "0.6 &amp; less" in page
    assert "tables/registered.tex" in (tmp_path / "report" / "report.tex").read_text(encoding="utf-8")
    assert any(file.name == "registered.tex" for file in built.files)

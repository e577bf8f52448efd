"""The page on the copying task: tables from its studies' stores, pictures from one federation drawn again.

``python -m reports gallery`` writes ``copying.md`` and its pictures.  The federation of the pictures is replication 0
of the first cell of the study of methods.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clair_stats.files import written_whole
from reports.figures import save_picture
from reports.inputs import StudyInput
from reports.renderers.copying.accuracy import accuracy_picture, accuracy_table, paired_table
from reports.renderers.copying.detection import contamination_tables, exact_sentence, level_sentence, source_table
from reports.renderers.copying.federation import (
    certificate_table,
    outcomes_of,
    scores_picture,
    spectra_picture,
    worked_client,
)
from reports.renderers.copying.gain import map_table
from reports.renderers.page import filled_template
from reports.renderers.rendered import presentation_of
from reports.tables import to_markdown
from simulations.design import Study
from simulations.presentation import Copying, CopyingPart
from simulations.streams import Streams

if TYPE_CHECKING:
    from simulations.copying.federated import World

__all__ = ["copying_page", "write_page"]


def _parts(studies: Sequence[StudyInput]) -> dict[CopyingPart, StudyInput]:
    """The copying studies by their place on the page.

    Raises
    ------
    ValueError
        A part is missing or there twice.
    """
    found: dict[CopyingPart, StudyInput] = {}
    for item in studies:
        if item.study.presentation.kind != Copying.kind:
            continue
        part = presentation_of(item, Copying).part
        if part in found:
            raise ValueError(f"studies {found[part].study.name} and {item.study.name} are both shown as {part!r}")
        found[part] = item
    lacking = [part for part in typing.get_args(CopyingPart) if part not in found]
    if lacking:
        raise ValueError(
            f"copying page: no rows for {', '.join(lacking)}; run the copying studies "
            "(`python -m simulations list`) or give --results"
        )
    return found


def _setting(study: Study) -> Iterator[tuple[str, str]]:
    """What the page says about the setting of the study of methods."""
    regime: Any = study.cells[0].regime
    yield "N_CLIENTS", str(regime.n_clients)
    yield "N_CONTAMINATED", str(round(regime.contaminated_share * regime.n_clients))
    yield "N_SEQUENCES", str(regime.n_sequences)
    yield "SPREAD", f"{regime.spread:g}"
    yield "CHANGED", str(regime.changed_tokens)
    yield "PERSONAL", str(regime.personal_tokens)
    yield "LORA", str(regime.lora_rank)
    yield "RANK", str(_rank(study))


def _rank(study: Study) -> int:
    method: Any = study.cells[0].method
    return int(method.rank)


def _world(study: Study) -> World:
    cell = study.cells[0]
    world: World = cell.regime.generate(Streams(study.root_seed, cell.regime_hash, 0))
    return world


def _federation(study: Study, folder: Path, files: list[Path]) -> dict[str, str]:
    """Pictures, certificate and answers of one federation; all of its training runs on one thread."""
    from simulations.copying.pretrain import one_thread

    with one_thread():
        world = _world(study)
        outcomes = outcomes_of(world, _rank(study))
        files.append(save_picture(scores_picture(world, outcomes), folder / "copying-scores.png"))
        files.append(save_picture(spectra_picture(world), folder / "copying-spectra.png"))
        return {
            "WORKED": worked_client(world, outcomes),
            "CERTIFICATE": to_markdown(certificate_table(world, _rank(study))),
        }


def copying_page(studies: Sequence[StudyInput], folder: Path, files: list[Path]) -> str:
    """The page as Markdown; pictures are written into ``folder`` and added to ``files``."""
    parts = _parts(studies)
    methods, detected = parts["methods"].rows(), parts["detection"].rows()
    files.append(save_picture(accuracy_picture(methods), folder / "copying-accuracy.png"))
    default = detected["method.detection"] == "consensus"
    contaminated, clean = (
        default & (detected["regime.contaminated_share"] > 0),
        default & (detected["regime.contaminated_share"] == 0),
    )
    contents = {
        "ACCURACY": to_markdown(accuracy_table(methods)),
        "PAIRED": to_markdown(paired_table(methods)),
        **dict(_setting(parts["methods"].study)),
        "FEDERATIONS": str(parts["methods"].study.replications),
        "DETECTION": exact_sentence(detected[contaminated]),
        "EXACT": exact_sentence(parts["exact_set"].rows()),
        "LEVEL": level_sentence(detected[clean]),
        "SOURCES": to_markdown(source_table(detected)),
        "CONTAMINATIONS": "\n\n".join(to_markdown(t) for t in contamination_tables(parts["contaminations"].rows())),
        "KINDS_FEDERATIONS": str(parts["contaminations"].study.replications),
        "MAP_FEDERATIONS": str(parts["map"].study.replications),
        "MAP": to_markdown(map_table(parts["map"].rows())),
        **_federation(parts["methods"].study, folder, files),
    }
    return filled_template("copying.md", contents)


def write_page(studies: Sequence[StudyInput], folder: Path) -> list[Path]:
    """Write ``copying.md`` and its pictures under ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    text = copying_page(studies, folder, files)
    with written_whole(folder / "copying.md") as beside:
        beside.write_text(text, encoding="utf-8")
    return [folder / "copying.md", *files]

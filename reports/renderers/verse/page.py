"""``python -m reports gallery verse``: the page on style from the stores of its two studies.

Picture and poem are replication 0 of the settings with forgers in another dialect, of one school and of four.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from clair_stats.files import written_whole
from reports.figures import save_picture
from reports.inputs import StudyInput
from reports.renderers.page import as_list, filled_template
from reports.renderers.verse.picture import scores_picture, written_on
from reports.renderers.verse.tables import (
    confusion_table,
    detection_table,
    forger_sentences,
    paired_sentences,
    paired_table,
    style_table,
)
from reports.tables import to_markdown
from simulations.streams import Streams

if TYPE_CHECKING:
    from simulations.verse.poets import VerseWorld

__all__ = ["write_verse"]


def _drawn(item: StudyInput, n_schools: int) -> VerseWorld:
    (cell,) = (cell for cell in item.study.cells if _is_shown(cell.regime, n_schools))
    world: VerseWorld = cell.regime.generate(Streams(item.study.root_seed, cell.regime_hash, 0))
    return world


def _is_shown(regime: Any, n_schools: int) -> bool:  # noqa: ANN401 - a regime is what its study makes it
    return bool(regime.forgery == "dialect" and regime.n_schools == n_schools)


def _federations(detection: StudyInput, rank: int, path: Path) -> tuple[Path, str]:
    """The picture, and one iambic poet's poem written on by three adapters."""
    import numpy as np

    from simulations.copying.collaborate import collaborate
    from simulations.copying.pretrain import one_thread

    with one_thread():
        worlds = []
        for n_schools, title in ((1, "one school"), (4, "four schools")):
            world = _drawn(detection, n_schools)
            worlds.append((title, world, collaborate(world.updates, rank=rank)))
        picture = save_picture(scores_picture(worlds), path)
        _, world, found = worlds[-1]
        average = {name: np.broadcast_to(x.mean(axis=0), x.shape) for name, x in world.updates.items()}
        iambic = [k for k, poet in enumerate(world.poets) if poet.school == 1 and world.collaborative_set[k]]
        poem = written_on(world, {"local": world.updates, "average": average, "clair": found.refined}, iambic[0])
    return picture, "\n".join(f"    {line}" for line in poem)


def write_verse(detection: StudyInput, style: StudyInput, folder: Path) -> list[Path]:
    """Write ``verse.md`` and its picture under ``folder``.

    Parameters
    ----------
    detection, style : StudyInput
        The studies of who is found, and of style.
    folder : path
    """
    from simulations.verse.schools import SCHOOLS

    folder.mkdir(parents=True, exist_ok=True)
    found, rows = detection.rows(), style.rows()
    rank: Any = style.study.cells[0].method
    picture, poem = _federations(detection, rank.rank, folder / "verse-scores.png")
    names = tuple(school.name for school in SCHOOLS)
    contents = {
        "DETECTION": to_markdown(detection_table(found)),
        "FORGERS": as_list(forger_sentences(found)),
        "STYLE": to_markdown(style_table(rows)),
        "PAIRED": to_markdown(paired_table(rows)),
        "SENTENCES": as_list(paired_sentences(rows)),
        "CONFUSION": to_markdown(confusion_table(rows, "clair", names)),
        "POEM": poem,
        "FEDERATIONS": str(style.study.replications),
        "DETECTION_FEDERATIONS": str(detection.study.replications),
        "FAILED": str(detection.failed + style.failed),
    }
    page = filled_template("verse.md", contents)
    with written_whole(folder / "verse.md") as beside:
        beside.write_text(page, encoding="utf-8")
    return [folder / "verse.md", picture]

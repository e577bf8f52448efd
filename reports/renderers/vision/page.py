"""``python -m reports gallery vision``: the page on the image model from the stores of its two studies.

The federation of the picture is replication 0 of the setting with a backdoor and six augmented benign clients.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clair_stats.files import written_whole
from reports.figures import save_picture
from reports.inputs import StudyInput
from reports.renderers.page import as_list, filled_template
from reports.renderers.vision.picture import vision_picture
from reports.renderers.vision.tables import (
    accuracy_table,
    alarm_sentences,
    augmentation_sentence,
    backdoor_sentences,
    detection_table,
    hiding_sentences,
    looks_sentences,
    paired,
)
from reports.tables import to_markdown
from simulations.streams import Streams

__all__ = ["write_vision"]


def _picture(item: StudyInput, path: Path) -> Path:
    from simulations.copying.collaborate import collaborate
    from simulations.copying.pretrain import one_thread

    (cell,) = (cell for cell in item.study.cells if _is_shown(cell.regime))
    with one_thread():
        world = cell.regime.generate(Streams(item.study.root_seed, cell.regime_hash, 0))
        return save_picture(vision_picture(world, collaborate(world.updates, rank=0)), path)


def _is_shown(regime: Any) -> bool:  # noqa: ANN401 - a regime is what its study makes it
    return bool(regime.poison == "backdoor" and regime.augmented == "some benign")


def write_vision(detection: StudyInput, accuracy: StudyInput, folder: Path) -> list[Path]:
    """Write ``vision.md`` and its picture under ``folder``.

    Parameters
    ----------
    detection, accuracy : StudyInput
        The studies ``vision_detection`` and ``vision``.
    folder : path
    """
    folder.mkdir(parents=True, exist_ok=True)
    found, models = detection.rows(), accuracy.rows()
    contents = {
        "DETECTION": to_markdown(detection_table(found)),
        "LOOKS": as_list(looks_sentences(found)),
        "HIDES": as_list(hiding_sentences(found)),
        "ALARMS": as_list(alarm_sentences(found)),
        "AUGMENTATION": augmentation_sentence(models),
        "ACCURACY": to_markdown(accuracy_table(models)),
        "PAIRED": to_markdown(paired(models, "clair")),
        "HALVES": to_markdown(paired(models, "clair_halves")),
        "BACKDOOR": as_list(backdoor_sentences(models)),
        "FEDERATIONS": str(accuracy.study.replications),
        "DETECTION_FEDERATIONS": str(detection.study.replications),
        "FAILED": str(detection.failed + accuracy.failed),
    }
    picture = _picture(detection, folder / "vision-federation.png")
    page = filled_template("vision.md", contents)
    with written_whole(folder / "vision.md") as beside:
        beside.write_text(page, encoding="utf-8")
    return [folder / "vision.md", picture]

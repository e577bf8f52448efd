"""Two camps of equal size: a tie that a larger shared subspace explains as well, and that nothing breaks."""

from __future__ import annotations

from clair_stats.detection.calibration import calibrate, per_client_level
from clair_stats.detection.concentration import Kernel, best_groups
from clair_stats.detection.panel import Panel
from clair_stats.detection.shared_fit import fit_shared
from clair_stats.detection.starts import starting_subsets
from clair_stats.detection.whiteness import spike_ratio
from clair_stats.records import BoolArray

__all__ = ["equal_camps"]

_TIE_CLIENTS = 20


def equal_camps(kernel: Kernel, rank: int, level: float) -> tuple[BoolArray, ...]:
    """Look for a tie: K/2 clients that agree at a rank below the accepted one, while the other K/2 agree as well.

    A larger shared subspace that holds both camps explains a tie too, and nothing in the data tells the two apart.
    Looked for up to 20 clients, where an exact tie is a practical risk.
    """
    panel = kernel.panel
    n_clients, p, q = panel.shape
    half = n_clients // 2
    if n_clients % 2 or n_clients > _TIE_CLIENTS or half < 2:
        return ()
    for r in range(rank):
        if (half - int(panel.common_component)) * q <= r or r >= p:
            break
        for camp in best_groups(kernel, starting_subsets(panel, r), r, half=half, level=level, n_best=2):
            if camp.sum() == half and all(_agrees(panel, group, rank - 1, level) for group in (camp, ~camp)):
                return camp, ~camp
    return ()


def _agrees(panel: Panel, group: BoolArray, rank: int, level: float) -> bool:
    """Whether these clients are consistent and white on their own at some rank up to ``rank``, without the others.

    Most of the others have to fail against the fit on the group.  Two halves of one benign set pass: each may show a
    direction less than both together, but it does not tell them apart.
    """
    alpha = per_client_level(level, panel.shape[0])
    for r in range(rank + 1):
        if r and (int(group.sum()) - int(panel.common_component)) * panel.shape[2] <= r:
            return False
        fit = fit_shared(panel, group, r)
        rejected = calibrate(panel, fit, level=level).p_values < alpha
        if spike_ratio(panel, fit) <= 1.0 and not rejected[group].any():
            return 2 * int(rejected[~group].sum()) > int((~group).sum())
    return False

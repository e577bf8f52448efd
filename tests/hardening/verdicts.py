"""``python -m tests.hardening.verdicts FILE.npz [--against OTHER.npz] [--first N] [--count N]``: fits before and after.

Verdicts of mixed instances are written to a file by one state of the code and compared by another, so that a faster
state is shown to give the same ones: set, flagged clients, majority, rank and law are equal or counted, of p-values,
scores, thresholds and refined estimates the largest difference over the largest entry is said.  Instance i hangs on i
alone.
"""

import argparse
import collections
import sys
import warnings
from pathlib import Path

import numpy as np

from clair_stats import CLAIR, ClientEstimates

SEED = 20_261_127
KINDS = ("clean", "random", "coordinated", "identical", "flipped", "mimic")
SETTINGS = ("unknown", "known", "one column", "covariances", "rank four", "sample sizes", "rank given", "wide")
_EXACT = ("set", "flagged", "majority", "rank", "law", "source")
_SMALL = 1e-9
_CLOSE = ("p_values", "scores", "thresholds", "refined")


def _contaminated(rng, kind, n_clients, p, q, rank):
    """Blocks without errors."""
    basis = np.linalg.qr(rng.standard_normal((p, rank)))[0]
    blocks = basis @ rng.standard_normal((n_clients, rank, q)) + rng.standard_normal((p, q))
    bad = np.arange(int(n_clients * rng.uniform(0.1, 0.4))) if kind != "clean" else np.arange(0)
    size = 10.0 ** rng.uniform(-0.3, 0.7)
    if kind == "random":
        blocks[bad] += size * rng.standard_normal((bad.size, p, q))
    elif kind == "coordinated":
        blocks[bad] += 3 * size * np.linalg.qr(rng.standard_normal((p, 1)))[0] @ rng.standard_normal((bad.size, 1, q))
    elif kind == "identical":
        blocks[bad] = size * rng.standard_normal((p, q))
    elif kind == "flipped":
        blocks[bad] *= -1.0
    elif kind == "mimic":
        other = np.linalg.qr(rng.standard_normal((p, rank)))[0]
        blocks[bad] = other @ rng.standard_normal((bad.size, rank, q)) + blocks[-1]
    return blocks


def instance(number):
    """Kind, setting, the estimates, and the options of the fit."""
    rng = np.random.default_rng([SEED, number])
    kind, setting = KINDS[number % len(KINDS)], SETTINGS[number // len(KINDS) % len(SETTINGS)]
    n_clients = int(np.exp(rng.uniform(np.log(8), np.log(61))))
    p, q, rank = int(rng.integers(6, 41)), int(rng.integers(2, 21)), int(rng.integers(1, 4))
    if setting == "one column":
        q, rank = 1, 1
    if setting == "rank four":
        p, q, rank, n_clients = int(rng.integers(16, 41)), int(rng.integers(12, 21)), 2, max(n_clients, 12)
    if setting == "wide":
        p, q, rank = int(rng.integers(60, 129)), int(rng.integers(30, 81)), int(rng.integers(2, 9))
    noise = 10.0 ** rng.uniform(-1.5, 0.3)
    blocks = _contaminated(rng, kind, n_clients, p, q, rank)
    given = {}
    error = noise * rng.standard_normal(blocks.shape)
    if setting == "covariances":
        spread = np.exp(0.3 * rng.standard_normal((n_clients, p)))
        error *= np.sqrt(spread)[:, :, None]
        given["row_covariances"] = noise**2 * spread[:, :, None] * np.eye(p)
    blocks = blocks + error
    if setting == "rank four":
        left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
        blocks = (left[..., :4] * sizes[..., None, :4]) @ right[..., :4, :]
    if setting in ("known", "one column") and number % 3:
        given["noise_scales"] = np.full(n_clients, noise)
    if setting == "sample sizes":
        given["sample_sizes"] = rng.integers(50, 60, n_clients)
    options = {"rank": rank} if setting == "rank given" else {}
    return kind, setting, ClientEstimates(values=blocks, **given), options


def fitted(number):
    """What is compared of one fit, by name."""
    _, _, estimates, options = instance(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = CLAIR(**options).fit(estimates)
    return {
        "set": model.collaborative_set_,
        "flagged": model.flagged_,
        "majority": np.array(model.majority_),
        "rank": np.array(model.rank_),
        "law": np.array(model.consensus_.law),
        "source": np.array(model.consensus_.source),
        "p_values": model.p_values_,
        "scores": model.scores_,
        "thresholds": model.thresholds_,
        "refined": model.refined_,
    }


def difference(before, after):
    """Largest difference over the largest entry."""
    both = np.isfinite(before) & np.isfinite(after)
    if not np.array_equal(np.isfinite(before), np.isfinite(after)):
        return np.inf
    gap, size = np.abs(before - after)[both], np.abs(before)[both]
    return float(gap.max(initial=0.0) / max(size.max(initial=0.0), np.finfo(float).tiny))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=480)
    given = parser.parse_args()
    numbers = range(given.first, given.first + given.count)
    found = {f"{number}/{name}": value for number in numbers for name, value in fitted(number).items()}
    np.savez_compressed(given.file, **found)
    if given.against is None:
        return
    compare(np.load(given.against), found, numbers)


def compare(before, after, numbers):
    """Every difference on a line, then the sums."""
    largest, changed = collections.defaultdict(float), collections.Counter()
    for number in numbers:
        pairs = {name: (before[f"{number}/{name}"], after[f"{number}/{name}"]) for name in (*_EXACT, *_CLOSE)}
        told = [name for name in _EXACT if not np.array_equal(*pairs[name])]
        changed.update(told)
        for name in _CLOSE:
            gap = difference(*pairs[name])
            largest[name] = max(largest[name], gap)
            told += [f"{name} {gap:.1e}"] * (gap > _SMALL)
        if told:
            sys.stdout.write(f"{number} {', '.join((*instance(number)[:2], *told))}\n")
    sys.stdout.write(f"{len(numbers)} instances; changed: {dict(changed) or 'nothing'}; largest differences: ")
    sys.stdout.write(", ".join(f"{name} {gap:.1e}" for name, gap in largest.items()) + "\n")


if __name__ == "__main__":
    main()

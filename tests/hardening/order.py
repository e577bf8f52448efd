"""``python -m tests.hardening.order``: instances of twelve kinds, each in five guises, and the verdicts that differ.

A verdict is who is in the set, whether there is a majority, and the rank.  It may hang neither on the order of the
clients, nor on a rotation of rows or of columns, nor on the unit and the sign.  Lines are appended to a file, and what
is there is not computed again.  For one module the refined estimates are compared as well, entry by entry.
"""

import argparse
import collections
import sys
import warnings
from pathlib import Path

import numpy as np

from clair_stats import CLAIR, ClientEstimates
from tests.hardening.resumed import appended, kept

# Instances of 20_261_901 to 20_261_906 found ten defects, which were mended; these are others.
SEED = 20_261_907
TRANSFORMATIONS = ("order", "rows", "columns", "unit and sign")


def _structure(rng, n_clients, p, q, rank):
    """A common component and parts in a subspace of ``rank`` dimensions, (K, p, q)."""
    basis = np.linalg.qr(rng.standard_normal((p, max(rank, 1))))[0][:, :rank]
    return rng.standard_normal((p, q)) + basis @ rng.standard_normal((n_clients, rank, q))


def _contaminated(rng, blocks, noise, bad):
    """``bad`` clients moved: each its own way, all along one direction, or enlarged."""
    p, q = blocks.shape[1:]
    size = noise * 10.0 ** rng.uniform(0.0, 2.0)
    kind = rng.integers(3)
    if kind == 0:
        blocks[:bad] += size * rng.standard_normal((bad, p, q))
    elif kind == 1:
        blocks[:bad] += size * rng.standard_normal((p, 1)) @ rng.standard_normal((bad, 1, q))
    else:
        blocks[:bad] *= 1.0 + 10.0 ** rng.uniform(-1.0, 2.0)
    return blocks


def _white(rng, *, bad=True, noise=None, columns=(2, 6), most=40):
    """Estimates with white errors and the errors' scale."""
    n_clients = int(np.exp(rng.uniform(np.log(6.0), np.log(most + 1.0))))
    p, q = int(rng.integers(3, 9)), int(rng.integers(columns[0], columns[1] + 1))
    rank = int(rng.integers(0, min(p - 1, 3)))
    noise = 10.0 ** rng.uniform(-3, 0) if noise is None else noise
    blocks = _structure(rng, n_clients, p, q, rank) + noise * rng.standard_normal((n_clients, p, q))
    if bad:
        blocks = _contaminated(rng, blocks, max(noise, 1e-3), int(rng.integers(1, (n_clients + 1) // 2)))
    return blocks, noise


def _cut(blocks, rank):
    left, sizes, right = np.linalg.svd(blocks, full_matrices=False)
    return (left[..., :rank] * sizes[..., None, :rank]) @ right[..., :rank, :]


def _low_rank(rng, *, bad=True):
    """Updates cut to rank 2 or 3, as adapters are, with errors that are not white inside a client."""
    n_clients, p, q = int(rng.integers(8, 17)), int(rng.integers(8, 13)), int(rng.integers(6, 9))
    blocks = 0.3 * _structure(rng, n_clients, p, q, int(rng.integers(1, 3)))
    blocks += 10.0 ** rng.uniform(-2, -0.5) * rng.standard_normal((n_clients, p, q))
    if bad:
        blocks = _contaminated(rng, blocks, 0.3, int(rng.integers(0, (n_clients + 1) // 2)))
    return _cut(blocks, int(rng.integers(2, 4)))


def _plain(blocks):
    return {"a": ClientEstimates(values=blocks)}


def _copied(rng):
    blocks = _white(rng, most=24)[0]
    copies = int(rng.integers(2, len(blocks)))
    blocks[:copies] = blocks[-1]
    return _plain(blocks)


def _camps(rng):
    blocks, noise = _white(rng, bad=False)
    half = len(blocks) // 2
    blocks[:half] += 10.0 * noise * rng.standard_normal(blocks.shape[1:])
    return _plain(blocks)


def _unequal(rng):
    blocks, noise = _white(rng, bad=False)
    spread = noise * 10.0 ** rng.uniform(-0.7, 0.7, len(blocks))
    blocks += spread[:, None, None] * rng.standard_normal(blocks.shape)
    blocks = _contaminated(rng, blocks, noise, int(rng.integers(0, len(blocks) // 2)))
    return {"a": ClientEstimates(values=blocks, noise_scales=np.hypot(spread, noise))}


def _known(rng, *, bad):
    blocks, noise = _white(rng, bad=bad)
    return {"a": ClientEstimates(values=blocks, noise_scales=np.full(len(blocks), noise))}


def _several(rng):
    """Two or three modules of the same clients; contaminated ones in all of them."""
    first = _low_rank(rng)
    modules = {"a": first}
    for name in "bc"[: 1 + int(rng.random() < 0.25)]:
        p, q = int(rng.integers(8, 11)), int(rng.integers(6, 9))
        noise = 0.1 * (rng.random() < 0.8)
        blocks = 0.3 * _structure(rng, len(first), p, q, 1) + noise * rng.standard_normal((len(first), p, q))
        modules[name] = _cut(_contaminated(rng, blocks, 0.3, int(rng.integers(0, len(first) // 2))), 2)
    return {name: ClientEstimates(values=blocks) for name, blocks in modules.items()}


KINDS = {
    "clean, noise known": lambda rng: _known(rng, bad=False),
    "clean, noise unknown": lambda rng: _plain(_white(rng, bad=False)[0]),
    "contaminated, noise known": lambda rng: _known(rng, bad=True),
    "contaminated, noise unknown": lambda rng: _plain(_white(rng)[0]),
    "unequal noise": _unequal,
    "one or two columns": lambda rng: _plain(_white(rng, columns=(1, 2))[0]),
    "full rank": lambda rng: _plain(rng.standard_normal((int(rng.integers(6, 25)), 6, 4))),
    "two camps": _camps,
    "copies of one client": _copied,
    "exact but for contamination": lambda rng: _plain(_white(rng, noise=0.0)[0]),
    "low-rank updates": lambda rng: _plain(_low_rank(rng)),
    "several modules": _several,
}
# One in so many numbers: these kinds take the longest.
FEWER = {
    **dict.fromkeys(("contaminated, noise known", "contaminated, noise unknown", "one or two columns"), 3),
    **dict.fromkeys(("two camps", "copies of one client", "low-rank updates"), 3),
    **dict.fromkeys(("exact but for contamination", "several modules"), 8),
}


def _moved(record, change, order, left, right):
    values = record.dense()
    scales = record.noise_scales
    if change == "order":
        names = tuple(record.names[k] for k in order)
        return ClientEstimates(
            values=values[order], noise_scales=None if scales is None else scales[order], client_names=names
        )
    if change == "rows":
        values = left @ values
    elif change == "columns":
        values = values @ right
    else:
        values, scales = values * -(2.0**7), None if scales is None else scales * 2.0**7
    return ClientEstimates(values=values, noise_scales=scales)


def moved(rng, modules, change):
    """The federation under one transformation, the clients' order (K,), and the last module's rotations."""
    order = rng.permutation(next(iter(modules.values())).n_clients)
    changed = {}
    for name, record in modules.items():
        left, right = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in record.block_shape)
        changed[name] = _moved(record, change, order, left, right)
    return changed, order if change == "order" else np.arange(order.size), (left, right)


def refined_gap(plain, changed, change, order, turned):
    """Largest difference of refined entries after the transformation is undone, in units of the largest entry."""
    if plain.modules_ is not None:
        return 0.0
    back, (left, right) = changed.refined_, turned
    if change == "rows":
        back = left.T @ back
    elif change == "columns":
        back = back @ right.T
    elif change == "unit and sign":
        back = back / -(2.0**7)
    return float(np.abs(back - plain.refined_[order]).max() / np.abs(plain.refined_).max())


def fitted(modules):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CLAIR().fit(modules if len(modules) > 1 else modules["a"])


def verdict(model):
    ranks = tuple(model.rank_.values()) if model.modules_ is not None else (model.rank_,)
    return bool(model.majority_), ranks, model.collaborative_set_, model.flagged_, model.p_values_


def difference(plain, changed, order):
    """What of a verdict is another one after the transformation, in words; the largest change of a p-value."""
    told = []
    if plain[0] != changed[0]:
        told.append(f"majority {plain[0]} {changed[0]}")
    if plain[1] != changed[1]:
        told.append(f"ranks {plain[1]} {changed[1]}")
    for name, before, after in zip(("set", "flagged"), plain[2:4], changed[2:4], strict=True):
        if not np.array_equal(before[order], after):
            told.append(f"{name} {np.flatnonzero(before[order] != after).tolist()}")
    return "; ".join(told), float(np.abs(plain[4][order] - changed[4]).max())


def judge(number, kind, seed=SEED):
    """One instance of a kind: its four transformations compared with itself."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    modules = KINDS[kind](rng)
    model = fitted(modules)
    plain = verdict(model)
    row = {"kind": kind, "number": number, "majority": plain[0], "flagged": int(plain[3].sum()), "differs": {}}
    for change in TRANSFORMATIONS:
        changed, order, turned = moved(rng, modules, change)
        other = fitted(changed)
        told, row[f"p, {change}"] = difference(plain, verdict(other), order)
        row[f"refined, {change}"] = refined_gap(model, other, change, order, turned)
        if told:
            row["differs"][change] = told
    return row


def run(path, each, seconds, seed=SEED):
    """Instances ``0 … each − 1`` of every kind that the file does not hold, until the time is over."""
    rows = kept(path)
    known = {(row["kind"], row["number"]) for row in rows}
    jobs = ((number, kind) for number in range(each) for kind in KINDS if not number % FEWER.get(kind, 1))
    todo = ((*job, seed) for job in jobs if job[::-1] not in known)
    return rows + appended(path, todo, judge, seconds)


def table(rows):
    """Markdown, one kind a line."""
    lines = ["| instances | number | with a majority | with flagged clients | " + " | ".join(TRANSFORMATIONS) + " |"]
    lines.append("|---" * (4 + len(TRANSFORMATIONS)) + "|")
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row["kind"]].append(row)
        groups["all"].append(row)
    for kind in (*KINDS, "all"):
        of_kind = groups[kind]
        counts = [len(of_kind), sum(r["majority"] for r in of_kind), sum(r["flagged"] > 0 for r in of_kind)]
        counts += [sum(change in r["differs"] for r in of_kind) for change in TRANSFORMATIONS]
        lines.append(f"| {kind} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.order", description=__doc__)
    parser.add_argument(
        "--each", type=int, default=1_600, help="instances of the quickest kinds (1,600: 10,004 in all)"
    )
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time; go on later")
    parser.add_argument("--seed", type=int, default=SEED, help="of the instances; give each seed a file of its own")
    parser.add_argument("--output", type=Path, default=Path("results/order.jsonl"))
    given = parser.parse_args()
    rows = run(given.output, given.each, given.seconds, given.seed)
    told = [table(rows), *(f"{row['kind']} {row['number']} {row['differs']}" for row in rows if row["differs"])]
    sys.stdout.write("\n".join(told) + "\n")
    return 1 if any(row["differs"] for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())

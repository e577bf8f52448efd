"""No public call takes more than 20 seconds of processor time on at most 60 clients of 12 × 12, whatever they hold.

A bound for a server, far above what is usual (under a second); speed itself is measured in ``benchmarks``.
"""

import time
import warnings

import numpy as np
import pytest

import clair_stats as cs
from clair_stats.baselines import BASELINES

SECONDS = 20.0
K, P, Q = 60, 12, 12
RNG = np.random.default_rng(12)
BASIS = np.linalg.qr(RNG.standard_normal((P, 3)))[0]
CLEAN = BASIS @ RNG.standard_normal((K, 3, Q)) + 0.1 * RNG.standard_normal((K, P, Q))


def with_bad(share, blocks=CLEAN):
    bad = int(share * K)
    return np.concatenate([RNG.standard_normal((bad, P, Q)), blocks[bad:]])


DATA = {
    "nearly half contaminated": with_bad(0.49),
    "no majority": with_bad(0.55),
    "two camps": np.concatenate([CLEAN[:30], CLEAN[30:] + 1.0]),
    "heavy tails": BASIS @ RNG.standard_normal((K, 3, Q)) + 0.1 * RNG.standard_t(1.5, (K, P, Q)),
    "full rank": RNG.standard_normal((K, P, Q)),
    "exact": with_bad(0.4, BASIS @ RNG.standard_normal((K, 3, Q))),
    "identical": np.repeat(CLEAN[:1], K, axis=0),
    "scales far apart": CLEAN * np.geomspace(1e-8, 1e8, K)[:, None, None],
    "copies": np.concatenate([np.repeat(CLEAN[:1], 20, axis=0), CLEAN[20:]]),
}
SCALES = np.full(K, 0.1)
CALLS = {
    "fit": lambda x: cs.CLAIR().fit(x),
    "fit, noise known": lambda x: cs.CLAIR(flagged="inform").fit(x, noise_scales=SCALES),
    "fit, tolerance": lambda x: cs.CLAIR(heterogeneity=0.3).fit(x),
    "fit, low level": lambda x: cs.CLAIR(level=1e-6).fit(x),
    "fit, program alone": lambda x: cs.CLAIR(detection="program").fit(x),
    "two modules": lambda x: cs.CLAIR().fit({"a": x, "b": x[:, ::-1]}),
    "(E)": lambda x: cs.decompose(x),
    "(B)": lambda x: cs.decompose(x, noise_radius=0.1),
    "(N)": lambda x: cs.decompose(x, noise_penalty=0.01),
    "modules": lambda x: cs.decompose_modules([x, x[:, ::-1]]),
    "detect": lambda x: cs.detect(x, basis=BASIS, noise_scales=SCALES),
    "combine": lambda x: cs.combine(x, basis=BASIS, collaborative_set=np.arange(K) > 20, noise_scales=SCALES),
    "baselines": lambda x: [method(x, rank=3, n_contaminated=20) for method in BASELINES.values()],
}


def seconds(call, blocks):
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        call(blocks)
    return time.process_time() - start


@pytest.mark.parametrize("call", ["fit, noise known", "two modules", "(N)", "modules"])
def test_the_hardest_data_end_in_time(call):
    taken = seconds(CALLS[call], DATA["no majority"])
    assert taken < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_all_data_end_in_time(call):
    taken = {name: seconds(call, blocks) for name, blocks in DATA.items()}
    assert max(taken.values()) < SECONDS, taken

"""The digits in colour, as the scanner of a client sees them.

The 1,797 shapes of ``sklearn.datasets.load_digits`` (8 × 8, grey; E. Alpaydin and C. Kaynak, UCI, CC BY 4.0) are real.
Made are ink and paper, a random pair of colours for every image, and the scanners: gain and offset of each channel,
contrast and blur, the client's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clair_stats.records import FloatArray
from simulations.regimes.digits import load_images

__all__ = ["CHANNELS", "SIDE", "IntArray", "Scanners", "draw_scanners", "grey_images", "scanned", "split_of_digits"]

IntArray = NDArray[np.int64]

SIDE = 8  # pixels of an image's side
CHANNELS = 3

# Standard deviations at spread 1: of the log gains, the offsets (full scale is 1) and the log exponent.  The gains of
# two channels then differ by a factor of 1.5 typically, as between white balances of daylight and lamps.
_GAIN, _OFFSET, _EXPONENT = 0.3, 0.1, 0.3
_BLUR = 0.6  # the largest share of the 3 × 3 mean


_N_BEFORE = 497  # images of the pre-training; 1,300 are left for clients and tests
_SPLIT_SEED = 20_261_159


@lru_cache(maxsize=1)
def split_of_digits() -> tuple[tuple[FloatArray, IntArray], tuple[FloatArray, IntArray]]:
    """Shapes (n, 8, 8) on [0, 1] and labels (n,): those of the pre-training, and those of clients and tests."""
    images, labels = load_images()
    order = np.random.Generator(np.random.PCG64(_SPLIT_SEED)).permutation(len(labels))
    shapes = images[order, : SIDE * SIDE].reshape(-1, SIDE, SIDE)
    return (shapes[:_N_BEFORE], labels[order[:_N_BEFORE]]), (shapes[_N_BEFORE:], labels[order[_N_BEFORE:]])


@dataclass(frozen=True, eq=False)
class Scanners:
    """What the scanners of K clients do to an image."""

    gains: FloatArray  # (K, 3)
    offsets: FloatArray  # (K, 3)
    exponents: FloatArray  # (K,)
    blurs: FloatArray  # (K,), share of the 3 × 3 mean


def draw_scanners(n_clients: int, spread: float, generator: np.random.Generator) -> Scanners:
    """Scanners of K clients; with spread 0 all are the neutral one."""
    return Scanners(
        gains=np.exp(spread * _GAIN * generator.standard_normal((n_clients, CHANNELS))),
        offsets=spread * _OFFSET * generator.standard_normal((n_clients, CHANNELS)),
        exponents=np.exp(spread * _EXPONENT * generator.standard_normal(n_clients)),
        blurs=np.minimum(spread * generator.uniform(0.0, _BLUR, n_clients), 1.0),
    )


def grey_images(shapes: FloatArray) -> FloatArray:
    """White digits on black as three equal channels, (n, 3, 8, 8), from shapes (n, 8, 8) on [0, 1]."""
    return np.repeat(shapes[:, None], CHANNELS, axis=1)


def scanned(shapes: FloatArray, scanners: Scanners, client: int, generator: np.random.Generator) -> FloatArray:
    """Images of one client, (n, 3, 8, 8) with values in [0, 1]; ink and paper are drawn for each.

    Parameters
    ----------
    shapes : ndarray, shape (n, 8, 8)
        Share of ink in every pixel.
    scanners : Scanners
    client : int
        k.
    generator : numpy.random.Generator
        Draws ink in the upper and paper in the lower half of each channel.
    """
    n = len(shapes)
    ink, paper = generator.uniform(0.5, 1.0, (n, CHANNELS)), generator.uniform(0.0, 0.5, (n, CHANNELS))
    blur = scanners.blurs[client]
    soft = (1.0 - blur) * shapes + blur * _local_mean(shapes)
    coloured = paper[:, :, None, None] + (ink - paper)[:, :, None, None] * soft[:, None]
    seen = scanners.offsets[client][:, None, None] + scanners.gains[client][:, None, None] * coloured
    return np.asarray(np.clip(seen, 0.0, 1.0) ** scanners.exponents[client], dtype=np.float64)


def _local_mean(shapes: FloatArray) -> FloatArray:
    """Mean of each pixel and its neighbours; the border is repeated outside."""
    padded = np.pad(shapes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.asarray(windows.mean(axis=(3, 4)), dtype=np.float64)

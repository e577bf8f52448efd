"""Grey patches as augmentation: local (LGPR) and global (GGPR) greyscale replacement, with a probability each.

Source: Y. Gong, L. Huang and L. Chen, "Eliminate deviation with deviation for data augmentation and a general
multi-modal data learning method", arXiv 2101.08533.  With probability ``p_global`` the whole image turns grey, else
with probability ``p_local`` a rectangle of it: its area is uniform between 2 % and 40 % of the image, height over width
uniform between 0.3 and 1/0.3, as in random erasing, and it is drawn again until it fits strictly inside.
"""

from __future__ import annotations

import numpy as np

from clair_stats.records import BoolArray, FloatArray
from simulations.vision.images import SIDE

__all__ = ["LUMINANCE", "greyed", "patch_masks"]

LUMINANCE = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, weights of red, green and blue
_SMALLEST, _LARGEST, _ASPECT = 0.02, 0.4, 0.3
# A proposal fits with probability .93 on 8 × 8 pixels, so one in 10²³ rectangles stays a proposal that is cut.
_PROPOSALS = 20


def patch_masks(
    shape: tuple[int, ...], p_local: FloatArray, p_global: FloatArray, generator: np.random.Generator
) -> BoolArray:
    """Which pixels turn grey, (*shape, 8, 8).

    Parameters
    ----------
    shape : tuple of int
        Of the images to augment.
    p_local, p_global : ndarray, broadcastable to ``shape``
        Probabilities; that of a patch is ``p_local`` given that the whole image is not grey.
    generator : numpy.random.Generator
        As many numbers are drawn for probability 0 as for any other, so that a client's patches change no other draw.
    """
    whole = generator.random(shape) < p_global
    local = generator.random(shape) < p_local
    areas = generator.uniform(_SMALLEST, _LARGEST, (*shape, _PROPOSALS)) * SIDE**2
    aspects = generator.uniform(_ASPECT, 1.0 / _ASPECT, (*shape, _PROPOSALS))
    heights, widths = np.rint(np.sqrt(areas * aspects)), np.rint(np.sqrt(areas / aspects))
    first = np.argmax((heights < SIDE) & (widths < SIDE), axis=-1)[..., None]
    height, width = (np.take_along_axis(a, first, axis=-1).astype(np.int64) for a in (heights, widths))
    top, left = (np.floor(generator.random((*shape, 1)) * (SIDE - extent + 1)) for extent in (height, width))
    pixels = np.arange(SIDE)
    down, across = (pixels >= top) & (pixels < top + height), (pixels >= left) & (pixels < left + width)
    patch = down[..., :, None] & across[..., None, :] & local[..., None, None]
    return np.asarray(patch | whole[..., None, None])


def greyed(images: FloatArray, masks: BoolArray) -> FloatArray:
    """Images with luminance in all channels where the mask is True.

    Parameters
    ----------
    images : ndarray, shape (…, 3, 8, 8)
    masks : bool ndarray, shape (…, 8, 8)
    """
    luminance = np.einsum("...chw,c->...hw", images, LUMINANCE)
    return np.where(masks[..., None, :, :], luminance[..., None, :, :], images)

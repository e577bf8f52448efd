"""How much is drawn, and what counts as an answer: a refusal that says what to do, or finite numbers."""

import atexit
import contextlib
import json
import os
import re
import time
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

import clair_stats

# Hypothesis draws integers from wider ranges with few bits as a rule: the same seeds would come again in each round.
SEEDS = st.integers(0, 2**24 - 1)
# Inputs by entry point and outcome; ``python -m tests.fuzz`` adds them up.
OUTCOMES: Counter[tuple[str, str]] = Counter()
SLOWEST = [0.0]  # processor seconds of the slowest input

HOUSE = [Path(clair_stats.__file__).resolve().parents[1] / name for name in ("clair_stats", "simulations")]
# A word that tells what to do next.
REMEDY = re.compile(
    r"\b(add|allowed|ask|check|choose|copy|delete|did you mean|expected|fill|fit|give|install|keep|known are|leave|"
    r"make|mark|mend|move|must|needs?|open|orthonormalise|pass|raise|refit|remove|rename|repair|restore|run|save|say|set|"
    r"shorten|split|target|tell|train|transpose|use|write)\b"
)


def told(entry, refused):
    """Count one input of an entry point as refused (by a true value) or answered."""
    OUTCOMES[entry, "refused" if refused else "answered"] += 1


def _written():
    if path := os.environ.get("FUZZ_COUNTS"):
        inputs = [[*key, count] for key, count in OUTCOMES.items()]
        Path(path).write_text(json.dumps({"inputs": inputs, "slowest": SLOWEST[0]}))


atexit.register(_written)


def draws(count):
    """Examples of one property: ``count``, or FUZZ times as many (an hour in all at FUZZ=120)."""
    return count * int(os.environ.get("FUZZ", "1"))


def _ours(error):
    """Whether the house raised an error, and not something that it called with what it should have refused."""
    raised = Path(traceback.extract_tb(error.__traceback__)[-1].filename).resolve()
    return any(raised.is_relative_to(room) for room in HOUSE)


@contextlib.contextmanager
def refusals(file=None):
    """A ValueError or TypeError within is an answer if it tells what to do, or where; the list then holds it."""
    found = []
    began = time.process_time()
    try:
        yield found
    except (ValueError, TypeError) as error:
        text = " ".join(str(error).split())
        if not _ours(error) or (not REMEDY.search(text) and (file is None or str(file) not in text)):
            raise
        found.append(text)
    finally:
        SLOWEST[0] = max(SLOWEST[0], time.process_time() - began)


def not_finite(**arrays):
    """Names of the arrays that hold NaN or infinity."""
    return [name for name, array in arrays.items() if not np.isfinite(array).all()]


def damaged(data, draw, most=4):
    """Bytes with pieces flipped, cut out, put in, repeated or cut off; ``draw(a, b)`` is an integer from a to b."""
    content = bytearray(data)
    for _ in range(draw(1, most)):
        if not content:
            break
        kind, at = draw(0, 5), draw(0, len(content) - 1)
        if kind == 0:
            content[at] ^= 1 << draw(0, 7)
        elif kind == 1:
            del content[at : at + draw(1, 24)]
        elif kind == 2:
            content[at:at] = bytes(draw(0, 255) for _ in range(draw(1, 12)))
        elif kind == 3:
            content[at:at] = content[at : at + draw(1, 24)]
        elif kind == 4:
            del content[at:]
        else:
            for place in range(at, min(at + 8, len(content))):
                content[place] = draw(0, 255)
    return bytes(content)

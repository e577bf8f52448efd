"""How much is drawn, and what counts as an answer: a refusal that says what to do, or finite numbers."""

import contextlib
import os
import re

import numpy as np

# A word that tells what to do next.
REMEDY = re.compile(
    r"\b(add|allowed|ask|check|choose|copy|delete|did you mean|expected|fill|fit|give|install|keep|known are|leave|"
    r"make|mend|move|must|needs?|open|orthonormalise|raise|refit|remove|rename|repair|restore|run|save|say|set|"
    r"shorten|split|target|tell|train|transpose|use|write)\b"
)


def draws(count):
    """Examples of one property: ``count``, or FUZZ times as many (an hour in all at FUZZ=120)."""
    return count * int(os.environ.get("FUZZ", "1"))


@contextlib.contextmanager
def refusals(file=None):
    """A ValueError or TypeError within is an answer if it tells what to do, or where; the list then holds it."""
    found = []
    try:
        yield found
    except (ValueError, TypeError) as error:
        text = " ".join(str(error).split())
        if not REMEDY.search(text) and (file is None or str(file) not in text):
            raise
        found.append(text)


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

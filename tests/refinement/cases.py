"""What the tests of the combination share."""


def reach(d, n):
    """a* of the Proposition: d entries, n flagged clients."""
    return max(0.0, d - 2 if n == 1 else min(d - 2, 2 * (d - 2 - (2 + (n + 1) / 8))))

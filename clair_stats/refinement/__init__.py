"""Theorem 5: average off the subspace, keep what is one's own inside."""

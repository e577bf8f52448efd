"""Solvers of the three programs, one algorithm per file, and what they share."""

"""Theorems as data: rows in, verdicts out."""

"""Rival methods, one per file, with one common signature."""

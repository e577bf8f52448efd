"""Data-generating mechanisms, one per file."""

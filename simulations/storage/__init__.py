"""Rows on disk: the store, its shards, its provenance, its exports."""

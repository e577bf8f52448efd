"""Metrics of one replication, and performance measures over replications."""

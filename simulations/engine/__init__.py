"""The Monte Carlo engine: replications to workers, rows back to one writer."""

"""Maps of the recovery region and runs over many instances."""

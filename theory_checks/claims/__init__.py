"""One claim per file, each with its sabotage."""

"""Named studies: designs that the command line runs."""

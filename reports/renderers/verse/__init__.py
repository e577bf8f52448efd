"""The page on style: tables, the verdict in words, one picture, one poem."""

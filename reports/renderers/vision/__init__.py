"""The page on the image model: tables, the verdict in words, one picture."""

"""``python -m benchmarks``: see :mod:`benchmarks.page`."""

from clair_stats.cli.interruption import without_traceback

if __name__ == "__main__":
    with without_traceback("python -m benchmarks", "parts that were finished are kept") as begin:
        from benchmarks.page import main

        begin()
        main()

"""``python -m reports``."""

from clair_stats.cli.interruption import without_traceback

if __name__ == "__main__":
    with without_traceback("python -m reports", "files that were finished are whole") as begin:
        from reports.cli import main

        begin()
        main()

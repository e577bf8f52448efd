"""``python -m theory_checks``: list, explain and run the claims."""

from clair_stats.cli.interruption import without_traceback

KEPT = "finished batches are stored, the same command goes on from here"

if __name__ == "__main__":
    with without_traceback("python -m theory_checks", KEPT) as begin:
        from theory_checks.cli import main

        begin()
        main()

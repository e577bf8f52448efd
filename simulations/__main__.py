"""``python -m simulations``, run from the repository root; see :mod:`simulations.cli`."""

from clair_stats.cli.interruption import without_traceback

if __name__ == "__main__":
    with without_traceback(
        "python -m simulations", "finished batches are stored, the same command goes on from here"
    ) as begin:
        from simulations.cli import main

        begin()
        main()

"""``python -m simulations``, run from the repository root; see :mod:`simulations.cli`."""

from simulations.cli import main

if __name__ == "__main__":
    main()

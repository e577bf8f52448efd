"""``python -m theory_checks``: list, explain and run the claims."""

from theory_checks.cli import main

if __name__ == "__main__":
    main()

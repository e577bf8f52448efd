"""Commands of ``python -m theory_checks``."""

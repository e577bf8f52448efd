"""CLAIR beside oracles and baselines: every setting in one line, and what each criterion comes to."""

"""Commands of ``python -m simulations``."""

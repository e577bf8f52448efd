"""Conditions, certificates, constants and predicted gains of Theorems 1 to 5."""

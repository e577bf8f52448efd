"""Instances on which claims are checked."""

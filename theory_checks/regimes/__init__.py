"""The statements that are checked on every regime with a real fit."""

"""Local estimators X_k from a client's own data."""

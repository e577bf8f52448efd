"""The joint program of several modules of one network."""

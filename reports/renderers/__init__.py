"""One renderer per kind of study; :mod:`reports.renderers.registry` finds the one that a study names."""

"""One renderer per kind of study; :mod:`reports.sections` finds the one that a study names."""

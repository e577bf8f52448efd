"""The studies of the copying task: in the report as other studies, together on one page of the gallery."""

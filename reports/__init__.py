"""Verdicts and summaries to LaTeX tables, figures and one document."""

"""Why an adapter cannot be used; one client's refusal is a quarantine, never the end of the others."""

from __future__ import annotations

__all__ = ["AdapterRefused"]


class AdapterRefused(ValueError):
    """One adapter is damaged, of a kind that cannot be averaged, or foreign; the message says what to do instead."""

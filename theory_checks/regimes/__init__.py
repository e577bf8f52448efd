"""Questions asked of the regime studies."""

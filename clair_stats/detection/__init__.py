"""Who is contaminated: scores, noise scales, calibrated thresholds."""

"""Summary, reasons and figures of a fitted model."""

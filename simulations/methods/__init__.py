"""Methods that studies compare."""

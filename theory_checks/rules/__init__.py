"""Decision rules, their power, and the rates and means that they judge."""

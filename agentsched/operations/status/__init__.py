"""The state of the whole system at one moment."""

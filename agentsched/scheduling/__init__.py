"""The scheduling decisions: pure, without clock, socket or library."""

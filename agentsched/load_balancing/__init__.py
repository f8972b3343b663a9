"""The published in-process facade: `agentsched.load_balancing.scheduler`."""

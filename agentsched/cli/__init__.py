"""The command `agentsched`: a thin layer over `agentsched.embedded`."""

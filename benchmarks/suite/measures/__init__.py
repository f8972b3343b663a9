"""What is measured: each is a function of a session that runs, and returns figures."""

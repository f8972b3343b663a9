"""Where a request is, and why it waits."""

"""From settings to Redis's clients, and its refusals in our words."""

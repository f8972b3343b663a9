"""Flower: its login, and what it shows of requests."""

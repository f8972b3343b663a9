"""Readers beside the group: they commit nothing and keep no position."""

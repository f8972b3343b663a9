"""The examination of an installation: facts, and what they mean."""

"""Settings: what they are (`settings.py`), where they come from (`loader.py`)."""

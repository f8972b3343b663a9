"""Plugins of pytest for this project's own tests; `tests/conftest.py` names them."""

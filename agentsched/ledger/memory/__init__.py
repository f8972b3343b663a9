"""The ledger in one process's memory: for unit tests and for simulations."""

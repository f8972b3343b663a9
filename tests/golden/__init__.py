"""Literal bytes of every persisted format, and how those of the ledger are made."""

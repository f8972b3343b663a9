"""The ledger: the state of every admitted request, shared by bridges and workers.

`protocol.py` says what its steps promise; `memory.py` and `redis.py` are its
adapters. Kafka is the truth: a ledger may be lost, and then the epoch changes.
"""

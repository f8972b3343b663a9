"""The whole system as a deterministic simulation: `python -m tests.simulation SEED`.

The bridge, the worker and the ledger in memory are the real code. What they talk to
(time, Kafka, the doorbell queue, the model server) is simulated. A seed decides when
what happens and which faults strike; the same seed gives the same history.
"""

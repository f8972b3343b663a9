"""The local stack: Kafka's mock, Valkey, a demo model server and our own processes.

For the demo, development and tests only. Every child ends with the process that
started it, also after `kill -9` (`guard.py`).
"""

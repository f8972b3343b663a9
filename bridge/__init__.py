"""The bridge daemon: moves requests from Kafka to the models' Celery queues.

`core/` decides and is pure; `daemon.py` is the one loop around it.
"""

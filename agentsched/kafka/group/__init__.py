"""The bridge's membership of its consumer group: partitions, records, commits."""

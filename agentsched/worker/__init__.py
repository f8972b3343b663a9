"""The inside of a worker process: its pool, its calls, its leases, its life-cycle."""

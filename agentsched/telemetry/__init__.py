"""What can be seen of a process: its log lines, metrics, health, and their one port."""

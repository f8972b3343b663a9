"""The programs of the systems that AgentSched is compared with, each a process."""

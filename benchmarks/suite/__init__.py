"""The benchmark suite: AgentSched beside what people use without it, in one run.

``make bench`` runs it; docs/performance.md says what is measured and how to read it.
"""

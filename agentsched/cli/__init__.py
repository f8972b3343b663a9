"""The command `agentsched`: one file a command; what it does stands in the layers below."""

"""The bridge's decisions: `step(state, event) -> (state, commands)`, and its parts."""

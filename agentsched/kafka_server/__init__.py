"""The published import path of `Producer` and `Consumer`."""

"""Dead letters: finding them, and replaying them."""

"""A run: its phases and epochs, its folder, and what is written there."""

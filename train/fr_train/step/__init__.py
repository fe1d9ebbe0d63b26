"""A training step, by backend."""

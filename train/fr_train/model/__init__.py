"""The embedding network and its head."""

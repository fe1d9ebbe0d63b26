"""Verification bins, and the lists of pairs that they are made of."""

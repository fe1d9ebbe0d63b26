"""Verification bins: pickles of pairs, read without running them."""

"""Processes that share the work, on this machine or on a cluster."""

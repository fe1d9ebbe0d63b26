"""The ground floor of fr-toolkit: what is on disk, read and written in one place. It needs NumPy only."""

"""Augmentations of training images: pure functions on batches of uint8, of a seed; the same eagerly and in a graph."""

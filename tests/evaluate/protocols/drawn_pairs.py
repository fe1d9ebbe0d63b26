"""Pairs of embeddings at given distances, for tests of what is computed from distances."""

import numpy as np

from fr_eval.protocols.verification import verify


def verify_distances(distances, issame):
    """Gives the figures of pairs at such squared distances: one direction is fixed, the other turned away from it."""
    angles = np.arccos(1 - distances / 2)
    fixed = np.tile([1.0, 0.0], (len(angles), 1))
    return verify(np.stack([fixed, np.stack([np.cos(angles), np.sin(angles)], axis=1)], axis=1).reshape(-1, 2), issame)

"""Losses: pure functions of `keras.ops`, and thin serialisable classes around them. `weighted_sum` tells how they are called."""

"""Losses on cosines: pure functions of `keras.ops`, and thin serialisable classes around them."""

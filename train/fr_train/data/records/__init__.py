"""The records of the train split: where they lie, in which order they come, and their images as arrays."""

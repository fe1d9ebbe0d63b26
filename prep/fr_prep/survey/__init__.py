"""What a set is made of: images per class, duplicates, near-duplicates, and overlap with verification bins."""

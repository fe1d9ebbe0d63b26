"""Which image goes where: classes, splits, order, and pairs for verification."""

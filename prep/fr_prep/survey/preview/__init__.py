"""Contact sheets: some classes of a set, or some pairs of a verification bin, to look at."""

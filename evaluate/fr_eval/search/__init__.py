"""Networks in use: embeddings of image files, how alike they are, and the nearest of many."""

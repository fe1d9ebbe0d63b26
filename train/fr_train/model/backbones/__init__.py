"""Embedding networks: images (B, H, W, 3) with values 0 to 255 in, embeddings (B, D) out."""

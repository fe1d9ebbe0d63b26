"""Networks of every format as one kind of thing: uint8 RGB images in, float32 embeddings out."""

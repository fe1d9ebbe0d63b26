"""Training of face-recognition networks on TFRecord shards, with Keras 3. The command line is `fr-train`."""

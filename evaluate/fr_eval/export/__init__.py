"""Embedding networks in the formats that other programs run: ONNX, TensorFlow Lite, SavedModel."""

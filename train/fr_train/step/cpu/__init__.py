"""Fused kernels for processors."""

"""Kernels for CUDA devices, imported by `streamrnn.kernels.cuda.compile` alone."""

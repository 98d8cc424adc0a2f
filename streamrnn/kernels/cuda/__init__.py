"""Networks on an NVIDIA GPU. Kernels stand in `code`; nothing else here is compiled."""

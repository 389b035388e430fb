"""Naive per-node NumPy implementations of the published algorithms, written without the library's code."""

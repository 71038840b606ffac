"""Evaluation: bits per byte, and C++ problems compiled and run in a sandbox."""

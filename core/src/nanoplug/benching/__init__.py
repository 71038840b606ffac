"""Measures backends that passed their laws: time, memory and error at the shapes of whoever asks."""

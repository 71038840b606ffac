"""What a model costs: parameters and floating-point operations, from its configuration alone."""

from __future__ import annotations

from nanoplug.model.config import GPTConfig


def count_parameters(config: GPTConfig) -> int:
    """All parameters, padded vocabulary rows included."""
    return 2 * _embedding(config) + _matrices(config) + _scalars(config)


def flops_per_token(config: GPTConfig) -> int:
    """Operations of forward and backward for one token of a full training row.

    6 for each parameter of a matrix product (Kaplan et al. 2020, arXiv:2001.08361) and 12 * C for each key that a
    query may see. The causal half is not taken off; softmax, norms and the embedding lookup are not counted.
    """
    tokens = config.sequence_len
    keys = sum(tokens if window < 0 else min(window, tokens) for window in config.windows())
    return 6 * (_embedding(config) + _matrices(config)) + 12 * config.n_embd * keys


def _embedding(config: GPTConfig) -> int:
    """The embedding, or the output head: both have this size."""
    return config.padded_vocab_size * config.n_embd


def _matrices(config: GPTConfig) -> int:
    """q, k, v and output projections and the two matrices of the MLP, over all layers."""
    heads = 2 * config.n_head + 2 * config.n_kv_head
    return config.n_layer * (heads * config.head_dim * config.n_embd + 8 * config.n_embd**2)


def _scalars(config: GPTConfig) -> int:
    return 2 * config.n_layer

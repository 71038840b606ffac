"""The lengths and blocks of the Pallas kernels, forward and backward."""

from __future__ import annotations

# What one step of a kernel takes of queries and keys, if there are so many. This and the 1024 queries that torch_xla's
# flash attention takes at once in backward divide 128, 256, 512 and multiples of 1024, and no other length.
BLOCK = 512
SHORT_LENGTHS = (128, 256, 512)
LONG_STEP = 1024

# A register of the TPU is 128 numbers wide. The kernels take smaller heads as they are, larger ones in whole registers.
LANES = 128


def legal_length(tokens: int) -> int:
    """The shortest length of at least `tokens` that the kernels serve in forward and backward."""
    for length in SHORT_LENGTHS:
        if tokens <= length:
            return length
    return -(-tokens // LONG_STEP) * LONG_STEP


def legal_head_dim(head_dim: int) -> int:
    """The smallest head size of at least `head_dim` that the kernels serve."""
    return head_dim if head_dim <= LANES else -(-head_dim // LANES) * LANES


def block(length: int) -> int:
    """Queries or keys in one step, for a legal length."""
    return min(BLOCK, length)

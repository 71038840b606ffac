"""Every value that decides how parameters are updated."""

from __future__ import annotations

from attrs import asdict, frozen

from nanoplug.ranges import check_values


@frozen(kw_only=True)
class OptimSettings:
    """Base learning rates are for a width of 768 and steps of 2^19 tokens; `parameter_groups` scales them.

    weight_decay: of the matrices, for 12 layers; scaled by (12 / layers)^2. total_batch_tokens: tokens of one step
    over all devices. warmup_ratio, warmdown_ratio: shares of all steps in which the rate rises and falls.
    final_lr_frac: the rate at the end, as a share of the full rate. Raises ConfigError on values out of range.
    """

    embedding_lr: float = 0.3
    unembedding_lr: float = 0.004
    matrix_lr: float = 0.02
    scalar_lr: float = 0.5
    weight_decay: float = 0.2
    adam_beta1: float = 0.8
    adam_beta2: float = 0.95
    total_batch_tokens: int = 2**19
    warmup_ratio: float = 0.0
    warmdown_ratio: float = 0.4
    final_lr_frac: float = 0.0

    def __attrs_post_init__(self) -> None:
        check_values("optim", asdict(self))

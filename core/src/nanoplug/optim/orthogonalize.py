"""The nearest semi-orthogonal matrix, by a few odd polynomials that need matrix products alone."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor


@frozen
class Iteration:
    """X <- X / (safety * |X|_F + eps), then X <- a X + (b A + c A^2) X with A = X X^T for each (a, b, c)."""

    coefficients: tuple[tuple[float, float, float], ...]
    safety: float
    eps: float


# Amsel et al. 2025, arXiv:2505.16932: the best polynomial for each of five steps.
POLAR_EXPRESS = Iteration(
    coefficients=(
        (8.156554524902461, -22.48329292557795, 15.878769915207462),
        (4.042929935166739, -2.808917465908714, 0.5000178451051316),
        (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
        (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
        (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
    ),
    safety=1.02,
    eps=1e-6,
)

# Jordan 2024, https://kellerjordan.github.io/posts/muon/: one polynomial, five times; what torch.optim.Muon uses.
QUINTIC = Iteration(coefficients=((3.4445, -4.7750, 2.0315),) * 5, safety=1.0, eps=1e-7)


def orthogonalize(x_nrc: Tensor, iteration: Iteration, dtype: torch.dtype) -> Tensor:
    """Singular values of each matrix of x (n, r, c) brought near 1, computed and returned in `dtype`."""
    tall = x_nrc.shape[-2] > x_nrc.shape[-1]
    x = x_nrc.to(dtype)
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * iteration.safety + iteration.eps)
    for a, b, c in iteration.coefficients:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x

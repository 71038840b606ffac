from __future__ import annotations

import pytest
import torch

from nanoplug.optim.orthogonalize import POLAR_EXPRESS, QUINTIC, orthogonalize

SHAPES = [(24, 24), (48, 12), (12, 48)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("iteration, low, high", [(POLAR_EXPRESS, 0.85, 1.15), (QUINTIC, 0.6, 1.25)])
def test_singular_values_come_near_one(shape: tuple[int, int], iteration: object, low: float, high: float) -> None:
    """The polynomials bring values in [0.01, 1] times the norm near 1, and turn no singular vector."""
    generator = torch.Generator().manual_seed(1)
    rank = min(shape)
    u = torch.linalg.qr(torch.randn(3, shape[0], rank, dtype=torch.float64, generator=generator)).Q
    v = torch.linalg.qr(torch.randn(3, shape[1], rank, dtype=torch.float64, generator=generator)).Q
    x = u @ torch.diag_embed(torch.logspace(-1, 0, rank, dtype=torch.float64).expand(3, rank)) @ v.mT * 7
    y = orthogonalize(x, iteration, torch.float64)  # type: ignore[arg-type]
    inner = u.mT @ y @ v
    values = inner.diagonal(dim1=-2, dim2=-1)
    assert low < values.min()
    assert values.max() < high
    assert (inner - torch.diag_embed(values)).abs().max() < 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_matrices_of_a_stack_do_not_mix(shape: tuple[int, int]) -> None:
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    together = orthogonalize(x, POLAR_EXPRESS, torch.float64)
    alone = torch.cat([orthogonalize(part, POLAR_EXPRESS, torch.float64) for part in x.split(1)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


def test_scale_does_not_matter_and_zero_stays_zero() -> None:
    x = torch.randn(1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    a, b = (orthogonalize(x * scale, POLAR_EXPRESS, torch.float64) for scale in (1.0, 1e6))
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    assert orthogonalize(torch.zeros(1, 8, 8), POLAR_EXPRESS, torch.bfloat16).abs().sum() == 0


def test_dtype_is_as_asked() -> None:
    x = torch.randn(1, 8, 8)
    assert orthogonalize(x, POLAR_EXPRESS, torch.bfloat16).dtype == torch.bfloat16
    assert orthogonalize(x, POLAR_EXPRESS, torch.float32).dtype == torch.float32

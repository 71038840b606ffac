"""The loss over hidden and vocabulary, forward and backward: our kernels against named peers, in turn in one process.

    python benchmarks/linear_cross_entropy.py --shapes 32768,1280,65536 16384,768,32768

Time by CUDA events, median; memory above the inputs at the peak, with both gradients in it; error of the gradients
against fp32 logits, ||got - want|| / ||want||. Peers that are not installed are left out, and said so.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import RESULTS, median, record, table
from nanoplug_kernel_chunked.kernel import ChunkedKernel
from nanoplug_kernel_torch.kernel import TorchKernel
from nanoplug_kernel_triton.kernel import TritonKernel
from torch import Tensor
from torch.nn import functional as F

from nanoplug.benching.timing import in_turn, stopwatch

SOFTCAP, IGNORE = 15.0, -1
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
COLUMNS = ("shape", "variant", "ms", "ms_least", "over_first", "peak_mib", "dhidden_error", "dweight_error")


def of_kernel(kernel: Any) -> Loss:
    def loss(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        result: Tensor = kernel.linear_cross_entropy(
            hidden_ND, weight_VD, targets_N, softcap=SOFTCAP, ignore_index=IGNORE, reduction="mean"
        )
        return result

    return loss


def of_liger() -> Loss:
    from liger_kernel.ops.fused_linear_cross_entropy import LigerFusedLinearCrossEntropyFunction as Fused

    def loss(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        result: Tensor = Fused.apply(hidden_ND, weight_VD, targets_N, None, None, IGNORE, 0.0, 0.0, "mean", SOFTCAP)[0]
        return result

    return loss


def of_cce() -> Loss:
    from cut_cross_entropy import linear_cross_entropy

    def loss(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor) -> Tensor:
        result: Tensor = linear_cross_entropy(
            hidden_ND, weight_VD, targets_N, softcap=SOFTCAP, ignore_index=IGNORE, reduction="mean"
        )
        return result

    return loss


def losses(chunk_rows: list[int]) -> dict[str, Loss]:
    """Ours first: the others' times are given as multiples of it."""
    found = {"triton": of_kernel(TritonKernel())}
    found |= {f"triton chunk_rows={rows}": of_kernel(TritonKernel(chunk_rows=rows)) for rows in chunk_rows}
    found |= {"torch eager": of_kernel(TorchKernel()), "torch compiled": torch.compile(of_kernel(TorchKernel()))}
    found["chunked compiled"] = torch.compile(of_kernel(ChunkedKernel()))
    for name, module, make in (("liger", "liger_kernel", of_liger), ("cce", "cut_cross_entropy", of_cce)):
        if importlib.util.find_spec(module):
            found[name] = make()
        else:
            print(f"{name}: {module} is not installed; left out")
    return found


def products_alone(hidden_ND: Tensor, weight_VD: Tensor, rows: int = 4096) -> Callable[[], None]:
    """The three matrix products through torch, in chunks, bf16 sums: what no loss here can do without."""
    logits_RV = hidden_ND.new_zeros(rows, weight_VD.shape[0])
    hidden_gradient, weight_gradient = torch.empty_like(hidden_ND), torch.empty_like(weight_VD)

    def run() -> None:
        for start in range(0, hidden_ND.shape[0], rows):
            part = hidden_ND[start : start + rows]
            logits = logits_RV[: len(part)]
            torch.mm(part, weight_VD.T, out=logits)
            torch.mm(logits, weight_VD, out=hidden_gradient[start : start + rows])
            torch.addmm(weight_gradient, logits.T, part, beta=int(start > 0), out=weight_gradient)

    return run


def exact_gradients(hidden_ND: Tensor, weight_VD: Tensor, targets_N: Tensor, rows: int = 2048) -> list[Tensor]:
    """Gradients of hidden and weight from fp32 logits, fp32 products and sums."""
    weight = weight_VD.detach().float().requires_grad_()
    count = (targets_N != IGNORE).sum()
    pieces = []
    for start in range(0, hidden_ND.shape[0], rows):
        part = hidden_ND[start : start + rows].detach().float().requires_grad_()
        logits = SOFTCAP * torch.tanh(part @ weight.T / SOFTCAP)
        F.cross_entropy(logits, targets_N[start : start + rows], ignore_index=IGNORE, reduction="sum").backward()
        pieces.append(part.grad)
    gradient = weight.grad if weight.grad is not None else torch.zeros_like(weight)
    return [torch.cat([p for p in pieces if p is not None]) / count, gradient / count]


def measure(shape: tuple[int, int, int], variants: dict[str, Loss], rounds: int, results: Path) -> list[dict[str, Any]]:
    rows, width, vocabulary = shape
    generator = torch.Generator("cuda").manual_seed(7)

    def normal(*size: int, scale: float) -> Tensor:
        made = torch.randn(*size, device="cuda", generator=generator) * scale
        return made.bfloat16().requires_grad_()

    hidden, weight = normal(rows, width, scale=1.0), normal(vocabulary, width, scale=2 * width**-0.5)
    targets = torch.randint(vocabulary, (rows,), device="cuda", generator=generator)
    targets[::16] = IGNORE
    exact = exact_gradients(hidden, weight, targets)

    def step(loss: Loss) -> Callable[[], None]:
        def run() -> None:
            hidden.grad = weight.grad = None
            loss(hidden, weight, targets).backward()

        return run

    runs = {name: step(loss) for name, loss in variants.items()}
    facts: dict[str, dict[str, Any]] = {}
    for name, run in runs.items():
        facts[name] = {**peak(run, hidden, weight), **errors(exact, hidden, weight)}
    del exact
    runs["three matrix products alone"] = products_alone(hidden.detach(), weight.detach())
    times = in_turn(list(runs.values()), stopwatch("cuda"), rounds=rounds, warmup=2)
    found = []
    for name, mine in zip(runs, times, strict=True):
        row = {"shape": f"N={rows} D={width} V={vocabulary}", "variant": name, "dtype": "bf16", "softcap": SOFTCAP}
        row |= {"device": torch.cuda.get_device_name(), "ms": median(mine), "ms_least": min(mine), "rounds": rounds}
        row |= {"over_first": median(mine) / median(times[0]), **facts.get(name, {})}
        found.append(record("linear_cross_entropy", row, folder=results))
    return found


def peak(run: Callable[[], None], hidden: Tensor, weight: Tensor) -> dict[str, float]:
    run()  # compiles, and lets libraries take their workspaces
    hidden.grad = weight.grad = None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    torch.cuda.synchronize()
    above = torch.cuda.max_memory_allocated() - before
    gradients = (hidden.numel() + weight.numel()) * hidden.itemsize
    return {"peak_mib": above / 2**20, "peak_without_gradients_mib": (above - gradients) / 2**20}


def errors(exact: list[Tensor], hidden: Tensor, weight: Tensor) -> dict[str, float]:
    found = {}
    for name, got, want in zip(("dhidden_error", "dweight_error"), (hidden.grad, weight.grad), exact, strict=True):
        if got is not None:
            found[name] = float((got.float() - want).norm() / want.norm())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", default=["32768,1280,65536", "32768,2048,65536", "16384,768,32768"])
    parser.add_argument("--chunk-rows", nargs="*", type=int, default=[], help="also measure ours with these")
    parser.add_argument("--only", nargs="*", default=[], help="variants whose names begin so")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    variants = losses(given.chunk_rows)
    if given.only:
        variants = {name: loss for name, loss in variants.items() if name.startswith(tuple(given.only))}
    rows = []
    for shape in given.shapes:
        n, d, v = (int(size) for size in shape.split(","))
        rows += measure((n, d, v), variants, given.rounds, given.results)
        print(table(rows[-len(variants) - 1 :], COLUMNS), flush=True)


if __name__ == "__main__":
    main()

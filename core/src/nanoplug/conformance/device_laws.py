"""The laws of a device runtime. Every one runs in one process, on the device's own `torch_device`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from nanoplug.conformance import device_wrong as wrong
from nanoplug.conformance.law import Broken, Case, Law, Measured, Subject, Wrong
from nanoplug.contracts import Device, dtype_name
from nanoplug.errors import ContractError, PluginError
from nanoplug.spec import DTYPES, DeviceSpec

_BLOCK_BYTES = 64 << 20


def _one(subject: Subject) -> Iterable[Case]:
    return [Case("always")]


def _device(subject: Subject) -> Device:
    device: Device = subject.backend
    return device


def _draws(device: Device) -> list[Tensor]:
    """Random numbers from every generator that a training process uses."""
    return [torch.rand(64), torch.rand(64, device=device.torch_device).cpu()]


def _same(left: Iterable[Tensor], right: Iterable[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def _close(got: Iterable[Tensor], expected: Iterable[Tensor], what: str, limit: float = 1e-4) -> Measured:
    """Largest difference, relative to the largest expected value; Broken beyond `limit`."""
    error = 0.0
    for left, right in zip(got, expected, strict=True):
        scale = max(1e-6, right.abs().max().item())
        error = max(error, (left - right).abs().max().item() / scale)
    if not error <= limit:
        raise Broken(f"{what} differ from the plain ones", error=error, limit=limit)
    return Measured(error, limit)


def _on(device: Device, *shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device.torch_device).requires_grad_()


def _check_identity(subject: Subject, case: Case) -> None:
    device = _device(subject)
    spec = subject.spec
    if not (isinstance(device.name, str) and device.name.strip()):
        raise Broken(f"name is {device.name!r}; it must be the product's name")
    if device.torch_device.type != device.type:
        raise Broken(f"type is {device.type!r} and torch_device is {device.torch_device}")
    if isinstance(spec, DeviceSpec) and spec.device_type != device.type:
        raise Broken(f"type is {device.type!r}; the manifest says {spec.device_type!r}")
    if not 0 <= device.rank < device.world_size:
        raise Broken(f"rank {device.rank} is outside a world of {device.world_size}")


def _check_seed(subject: Subject, case: Case) -> None:
    device = _device(subject)
    device.seed(42)
    first = _draws(device)
    device.seed(42)
    if not _same(first, _draws(device)):
        raise Broken("two draws after seed(42) differ")
    device.seed(43)
    if any(torch.equal(a, b) for a, b in zip(first, _draws(device), strict=True)):
        raise Broken("seed(43) draws what seed(42) draws")


def _check_random_state(subject: Subject, case: Case) -> None:
    device = _device(subject)
    device.seed(7)
    _draws(device)
    state = device.rng_state()
    for name, tensor in state.items():
        if tensor.dtype != torch.uint8 or tensor.device.type != "cpu":
            raise Broken(f"state {name!r} is {tensor.dtype} on {tensor.device}; it must be uint8 on the CPU")
    kept = {name: tensor.clone() for name, tensor in state.items()}
    expected = _draws(device)
    if not _same(kept.values(), state.values()):
        raise Broken("drawing changed a state that was handed out")
    device.seed(8)
    device.set_rng_state(kept)
    if not _same(expected, _draws(device)):
        raise Broken("draws after restoring a state differ from those after saving it")


def _put_cases(subject: Subject) -> Iterable[Case]:
    for dtype in (torch.int64, torch.int32, torch.float32, torch.bfloat16, torch.uint8, torch.bool):
        yield Case(dtype_name(dtype), {"make": lambda dtype=dtype: torch.arange(6).reshape(2, 3).to(dtype)})
    yield Case("transposed", {"make": lambda: torch.arange(12).reshape(3, 4).t()})
    yield Case("empty", {"make": lambda: torch.empty(0, 5)})
    yield Case("scalar", {"make": lambda: torch.tensor(2.5)})
    yield Case("large", {"make": lambda: torch.arange(1 << 20)})
    if _device(subject).type == "cuda":
        yield Case("pinned", {"make": lambda: torch.arange(1 << 22).pin_memory()})


def _check_put(subject: Subject, case: Case) -> None:
    device = _device(subject)
    source: Tensor = case.values["make"]()
    expected = [source.clone(), torch.flip(source, dims=list(range(source.ndim)))]
    got = []
    for values in expected:
        source.copy_(values)
        got.append(device.put(source))
    source.zero_()
    device.synchronize()
    for tensor, values in zip(got, expected, strict=True):
        if tensor.device != device.torch_device:
            raise Broken(f"put gave a tensor on {tensor.device}, not {device.torch_device}")
        if tensor.dtype != values.dtype or tensor.shape != values.shape:
            raise Broken(f"put gave {tensor.dtype} {tuple(tensor.shape)}, not {values.dtype} {tuple(values.shape)}")
        if not torch.equal(tensor.cpu(), values):
            raise Broken("put gave other values: it holds on to its source, or to a buffer that is used again")


def _dtype_cases(subject: Subject) -> Iterable[Case]:
    return [Case(name or "nothing", {"name": name}) for name in ("auto", *DTYPES, "int4", "")]


def _check_compute_dtype(subject: Subject, case: Case) -> None:
    device, name = _device(subject), case.values["name"]
    served = subject.spec.dtypes if isinstance(subject.spec, DeviceSpec) else frozenset({"fp32"})
    try:
        dtype = device.compute_dtype(name)
    except ContractError:
        if name == "auto" or name in served:
            raise Broken(f"{name!r} was refused; the manifest declares {sorted(served)}") from None
        return
    if name not in served and name != "auto":
        raise Broken(f"{name!r} gave {dtype}; what is not served must raise ContractError")
    if dtype_name(dtype) != name and not (name == "auto" and dtype_name(dtype) in served):
        raise Broken(f"{name!r} gave {dtype}")


def _work(x: Tensor, weight: Tensor) -> Tensor:
    return torch.tanh(x @ weight).square().sum()


def _forward_backward(run: Callable[[Tensor, Tensor], Tensor], device: Device, seed: int) -> list[Tensor]:
    x, weight = _on(device, 8, 16, seed=seed), _on(device, 16, 4, seed=seed + 1)
    loss = run(x, weight)
    loss.backward()
    if x.grad is None or weight.grad is None:
        raise Broken("no gradient reached the inputs")
    return [loss.detach().cpu(), x.grad.cpu(), weight.grad.cpu()]


def _check_compile(subject: Subject, case: Case) -> Measured | None:
    device = _device(subject)
    if not isinstance(device.compiles_by_default(), bool):
        raise Broken("compiles_by_default must be True or False")
    try:
        compiled = device.compile(_work)
    except PluginError:
        if device.compiles_by_default():
            raise
        return None  # this machine lacks what compiling needs, and the device said so
    worst = _close(_forward_backward(compiled, device, 0), _forward_backward(_work, device, 0), "compiled results")
    with torch.compiler.set_stance("fail_on_recompile"):
        for seed in (10, 20):
            got = _forward_backward(compiled, device, seed)
            worst = max(
                worst,
                _close(got, _forward_backward(_work, device, seed), "compiled results"),
                key=lambda measured: measured.error or 0.0,
            )
    return worst


def _check_step(subject: Subject, case: Case) -> Measured:
    device = _device(subject)
    plain = _forward_backward(_work, device, 3)
    for _ in range(2):
        with device.step():
            inside = _forward_backward(_work, device, 3)
        measured = _close(inside, plain, "results inside step()", limit=1e-6)
    try:
        with device.step():
            raise ZeroDivisionError
    except ZeroDivisionError:
        return measured
    raise Broken("step() swallowed an error raised inside it")


def _check_checkpointed(subject: Subject, case: Case) -> Measured:
    device = _device(subject)
    calls = 0

    def noisy(x: Tensor, weight: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.nn.functional.dropout(torch.tanh(x @ weight), p=0.5, training=True).square().sum()

    device.seed(5)
    plain = [*_forward_backward(noisy, device, 4), *_draws(device)]
    calls = 0
    device.seed(5)
    again = [*_forward_backward(lambda x, w: device.checkpointed(noisy, x, w), device, 4), *_draws(device)]
    measured = _close(again, plain, "checkpointed results (or the random numbers drawn after them)", limit=1e-6)
    if calls != 2:
        raise Broken(f"the function ran {calls} time(s); it must run once in forward and once in backward")
    return measured


def _alone(subject: Subject) -> Iterable[Case]:
    return [Case("one process")] if _device(subject).world_size == 1 else []


def _check_ranks(subject: Subject, case: Case) -> None:
    device = _device(subject)
    parameter, unused = _on(device, 4, seed=1), _on(device, 4, seed=2)
    parameter.grad = torch.ones_like(parameter)
    device.reduce_gradients([parameter, unused])
    if not torch.equal(parameter.grad.cpu(), torch.ones(4)) or unused.grad is not None:
        raise Broken("reduce_gradients changed gradients although there is one process")
    total = device.sum_over_ranks(torch.arange(3, device=device.torch_device))
    if total.tolist() != [0, 1, 2]:
        raise Broken(f"sum_over_ranks of one process gave {total.tolist()}, not [0, 1, 2]")
    device.agree("text", "the receipt")


def _check_synchronize(subject: Subject, case: Case) -> None:
    device = _device(subject)
    source = torch.eye(512)
    value = device.put(source)
    for _ in range(8):
        value = value @ value
    pinned = device.type == "cuda"
    host = torch.zeros_like(source, pin_memory=pinned)
    host.copy_(value, non_blocking=True)
    device.synchronize()
    if not torch.equal(host, source):
        raise Broken("work was not complete after synchronize()")


def _check_peak_memory(subject: Subject, case: Case) -> Measured:
    device = _device(subject)

    def touch(count: int) -> None:
        blocks = [torch.ones(_BLOCK_BYTES // 4, device=device.torch_device) for _ in range(count)]
        device.synchronize()
        del blocks

    torch.ones(1, device=device.torch_device)
    device.reset_peak_memory()
    start, limit = device.peak_memory_bytes(), 0.9 * _BLOCK_BYTES
    can_reset = device.type != "cpu" or wrong.can_reset_host_peak()
    # More and more: another thread may free memory meanwhile, and where the high-water mark cannot be set back it
    # grows only beyond its old height.
    for count in (1, 2, 4) if can_reset else (1, 2, 4, 8, 16):
        touch(count)
        peak = device.peak_memory_bytes()
        if peak - start >= limit:
            break
    else:
        raise Broken("the peak did not grow when blocks of 64 MiB were used", error=peak - start, limit=limit)
    if start < 0 or peak > 64 * _BLOCK_BYTES + start:
        raise Broken(f"the peak went from {start} to {peak} bytes when {count} blocks of 64 MiB were used")
    if can_reset:
        device.reset_peak_memory()
        if device.peak_memory_bytes() > peak - limit / 2:
            raise Broken("the peak stayed after the blocks were freed and reset_peak_memory() was called")
    return Measured(peak - start, limit)


def _check_peak_flops(subject: Subject, case: Case) -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        flops = _device(subject).peak_flops(dtype)
        if flops is not None and not (math.isfinite(flops) and flops > 0):
            raise Broken(f"peak_flops({dtype}) is {flops}; it must be positive, or None when not known")


def _check_close(subject: Subject, case: Case) -> None:
    _device(subject).close()
    _device(subject).close()


def _law(
    name: str,
    says: str,
    check: Callable[[Subject, Case], Measured | None],
    *classes: type,
    cases: Callable[[Subject], Iterable[Case]] = _one,
) -> Law:
    return Law(name=name, says=says, cases=cases, check=check, wrong=tuple(Wrong(cls.__name__, cls) for cls in classes))


LAWS: tuple[Law, ...] = (
    _law(
        "identity",
        "Name, type, torch_device, rank and world size are there and agree.",
        _check_identity,
        wrong.Nameless,
        wrong.TypeElsewhere,
        wrong.RankBeyondWorld,
    ),
    _law(
        "seed",
        "The same seed gives the same random numbers, another seed others.",
        _check_seed,
        wrong.SeedsNothing,
        wrong.SeedsAlike,
    ),
    _law(
        "random-state",
        "Draws after restoring a random state are those that followed when it was saved.",
        _check_random_state,
        wrong.ForgetsRandomState,
        wrong.RestoresSeedOnly,
        wrong.RandomStateAsFloats,
    ),
    _law(
        "put",
        "put copies: values, dtype and shape are kept whatever happens to the source afterwards.",
        _check_put,
        wrong.PutsTheSourceItself,
        wrong.PutsAsFloat,
        wrong.PutsFlat,
        wrong.PutsIntoOneBuffer,
        cases=_put_cases,
    ),
    _law(
        "compute-dtype",
        "A dtype name gives that dtype if the manifest declares it, and otherwise a ContractError.",
        _check_compute_dtype,
        wrong.FallsBackToFp32,
        wrong.ComputesInFp32Anyway,
        wrong.AutoIsDouble,
        cases=_dtype_cases,
    ),
    _law(
        "compile",
        "A compiled function gives the plain one's results and gradients, and compiles once for all values.",
        _check_compile,
        wrong.CompiledRoundsToBf16,
        wrong.CompiledRepeatsFirstResult,
        wrong.CompilesForEachValue,
    ),
    _law(
        "step",
        "Inside step() results and gradients are the plain ones, and errors come out.",
        _check_step,
        wrong.StepWithoutGradients,
        wrong.StepRoundsToBf16,
        wrong.StepSwallowsErrors,
    ),
    _law(
        "checkpointed",
        "A checkpointed call gives the plain call's gradients, dropout included, and is run again in backward.",
        _check_checkpointed,
        wrong.CheckpointedSavesEverything,
        wrong.CheckpointedDrawsAgain,
        wrong.CheckpointedWithoutGradients,
    ),
    _law(
        "ranks",
        "For one process, reductions change nothing and it agrees with itself.",
        _check_ranks,
        wrong.ReducesByHalf,
        wrong.SumsTwice,
        wrong.NeverAgrees,
        cases=_alone,
    ),
    _law(
        "synchronize",
        "After synchronize() all work that was started is complete.",
        _check_synchronize,
        wrong.SynchronizesNothing,
    ),
    _law(
        "peak-memory",
        "The peak counts memory that was used and freed since the last reset.",
        _check_peak_memory,
        wrong.PeakIsZero,
        wrong.PeakIsConstant,
        wrong.PeakIsPresent,
        wrong.PeakNeverResets,
    ),
    _law(
        "peak-flops",
        "The peak rate is a positive number, or None when not known.",
        _check_peak_flops,
        wrong.FlopsAreZero,
        wrong.FlopsAreNotANumber,
    ),
    # Last, since nothing else may be asked of the device afterwards.
    _law("close", "Closing twice is as good as closing once.", _check_close, wrong.ClosesOnce),
)

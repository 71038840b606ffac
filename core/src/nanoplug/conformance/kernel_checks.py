"""How the laws of a kernel's losses are checked, and on which cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nanoplug.conformance.kernel_calls import (
    LOSSES,
    Loss,
    dtypes_of,
    gradient_limit,
    loss_cases,
    spec_of,
)
from nanoplug.conformance.law import Broken, Case, Measured, Subject
from nanoplug.conformance.measure import (
    DTYPE,
    REFUSALS,
    compiled,
    full_precision,
    gradients,
    normal,
    require,
    require_close,
    require_equal,
    require_refusal,
    worst_of,
)
from nanoplug.conformance.targets import checked
from nanoplug.conformance.watch import HostReads, peak_bytes

Cases = Callable[[Subject], list[Case]]
SIZES: tuple[dict[str, Any], ...] = (
    {"rows": 1, "ignored": 0},
    {"rows": 7, "vocabulary": 3},
    {"rows": 33},
    {"rows": 65, "vocabulary": 1000, "width": 64},
    {"rows": 257, "vocabulary": 131, "width": 24},
)


def reduction_cases(name: str) -> Cases:
    """Every size with the reduction, if it is declared."""

    def chosen(subject: Subject) -> list[Case]:
        if name not in spec_of(subject).reductions:
            return []
        return loss_cases(subject, [{**size, "reduction": name} for size in SIZES])

    return chosen


def cases(*changes: dict[str, Any], needs: tuple[str, ...] = (), first_dtype_only: bool = False) -> Cases:
    """Cases for specs that declare each of `needs` (a flag, or a reduction)."""

    def chosen(subject: Subject) -> list[Case]:
        spec = spec_of(subject)
        if all(need in spec.reductions or getattr(spec, need, False) for need in needs):
            return loss_cases(subject, changes, first_dtype_only=first_dtype_only)
        return []

    return chosen


def check_value(subject: Subject, case: Case) -> Measured:
    """The loss equals the exact one, and is fp32."""
    loss: Loss = case.values["loss"]
    tensors, targets_N = loss.tensors(subject.device), loss.targets(subject.device)
    with full_precision(), torch.no_grad():
        got = loss.run(subject.backend, tensors, targets_N)
    require(got.dtype == torch.float32, f"the loss is {got.dtype}, must be torch.float32")
    return require_close("the loss", got, loss.exact(tensors, targets_N), loss.limit(tensors, targets_N))


def _exact_in_bf16(loss: Loss, device: str) -> list[Tensor]:
    """Inputs whose logits, up to 31, bf16 and fp16 hold exactly: what then is off was lost in the cap."""
    if loss.op == "cross_entropy":
        logits = torch.randint(-124, 125, (loss.rows, loss.vocabulary), generator=torch.Generator().manual_seed(25))
        return [(logits / 4).to(device=device, dtype=DTYPE[loss.dtype])]
    columns = torch.randint(0, loss.width, (loss.vocabulary,), generator=torch.Generator().manual_seed(26))
    weight = torch.nn.functional.one_hot(columns, loss.width).float()
    hidden = torch.randint(-124, 125, (loss.rows, loss.width), generator=torch.Generator().manual_seed(27)) / 4
    return [x.to(device=device, dtype=DTYPE[loss.dtype]) for x in (hidden, weight)]


def check_cap_precision(subject: Subject, case: Case) -> Measured:
    """The cap and what follows are in fp32 though the inputs are not."""
    loss: Loss = case.values["loss"]
    tensors, targets_N = _exact_in_bf16(loss, subject.device), loss.targets(subject.device)
    with torch.no_grad():
        got = loss.run(subject.backend, tensors, targets_N)
    return require_close("the loss", got, loss.exact(tensors, targets_N), 1e-3)


def check_gradients(subject: Subject, case: Case) -> Measured:
    """The gradients of hidden and weight, or of the logits, are the exact ones, in the dtype of the inputs."""
    loss: Loss = case.values["loss"]
    factor = case.values.get("upstream", 1.0)
    targets_N = loss.targets(subject.device)
    with full_precision():
        leaves = [x.requires_grad_() for x in loss.tensors(subject.device)]
        got_loss = loss.run(subject.backend, leaves, targets_N)
        upstream = normal(28, *got_loss.shape) if factor == "random" else torch.full(got_loss.shape, float(factor))
        got = gradients(got_loss, upstream.to(got_loss), leaves)
        exact_leaves = [x.detach().cpu().double().requires_grad_() for x in leaves]
        exact = gradients(loss.exact(exact_leaves, targets_N), upstream.double(), exact_leaves)
        plain_leaves = [x.detach().cpu().requires_grad_() for x in leaves]
        plain = gradients(loss.plain(plain_leaves, targets_N), upstream.float(), plain_leaves)
    names = ("dhidden", "dweight") if len(leaves) == 2 else ("dlogits",)
    results = []
    for name, g, p, e in zip(names, got, plain, exact, strict=True):
        require(g.dtype == DTYPE[loss.dtype], f"{name} is {g.dtype}, must be {DTYPE[loss.dtype]}")
        results.append(require_close(name, g, e, gradient_limit(loss.dtype, p, e)))
    return worst_of(results)


def in_each_reduction(*changes: dict[str, Any], needs: tuple[str, ...] = ()) -> Cases:
    """Cases of the first dtype with each declared reduction, capped if that is declared, and then `changes`."""

    def chosen(subject: Subject) -> list[Case]:
        spec = spec_of(subject)
        softcap = 15.0 if spec.softcap else None
        each = [{"reduction": name, "softcap": softcap} for name in sorted(spec.reductions)]
        return cases(*each, *changes, needs=needs, first_dtype_only=True)(subject)

    return chosen


def with_upstream(upstream: object, plain: Cases) -> Cases:
    """The same cases with the loss's own gradient set: a factor, or `random` for each row."""

    def scaled(subject: Subject) -> list[Case]:
        return [Case(f"{c.name} upstream {upstream}", {**c.values, "upstream": upstream}) for c in plain(subject)]

    return scaled


def check_all_ignored(subject: Subject, case: Case) -> None:
    """With no row to learn from the loss is 0 and so is every gradient."""
    loss: Loss = case.values["loss"]
    backward = spec_of(subject).backward
    leaves = [x.requires_grad_(backward) for x in loss.tensors(subject.device)]
    got = loss.run(subject.backend, leaves, loss.targets(subject.device))
    require_equal("the loss", got.detach().cpu(), torch.zeros(loss.rows if loss.reduction == "none" else ()))
    for gradient in gradients(got, torch.ones_like(got), leaves) if backward else []:
        require_equal("a gradient", gradient, torch.zeros_like(gradient))


def all_ignored_cases(subject: Subject) -> list[Case]:
    spec = spec_of(subject)
    changes = [
        {"ignored": 1, "reduction": reduction, "softcap": 15.0 if spec.softcap else None}
        for reduction in sorted(spec.reductions)
    ]
    return loss_cases(subject, changes)


def check_inputs(subject: Subject, case: Case) -> None:
    """Strided inputs give the same result, and forward and backward write to no input."""
    loss: Loss = case.values["loss"]
    tensors, targets_N = loss.tensors(subject.device), loss.targets(subject.device)
    spread = [torch.cat([x, x + 1], -1)[:, : x.shape[1]] for x in tensors]
    copies, targets_copy = [x.clone() for x in tensors], targets_N.clone()
    leaves = [x.requires_grad_(spec_of(subject).backward) for x in copies]
    with full_precision():
        want = loss.run(subject.backend, leaves, targets_copy)
        if spec_of(subject).backward:
            gradients(want, torch.ones_like(want), leaves)
        got = loss.run(subject.backend, spread, torch.stack([targets_N, targets_N - 1], 1)[:, 0])
    for copy, original in zip(copies, tensors, strict=True):
        require_equal("an input after the call", copy.detach(), original)
    require_equal("the targets after the call", targets_copy, targets_N)
    require_close("the loss of strided inputs", got, want, loss.limit(tensors, targets_N))


def check_bad_targets(subject: Subject, case: Case) -> None:
    """A checked kernel refuses a target outside the vocabulary that is not ignore_index, and takes the others."""
    loss: Loss = case.values["loss"]
    tensors, targets_N = loss.tensors(subject.device), loss.targets(subject.device)
    kernel = checked(subject.backend, subject.name)
    with torch.no_grad():
        loss.run(kernel, tensors, targets_N)
        for bad in (loss.vocabulary, loss.vocabulary + 7, -2, -100):
            targets_N[loss.rows // 2] = bad
            require_refusal(f"target {bad}", lambda: loss.run(kernel, tensors, targets_N))


def check_undeclared(subject: Subject, case: Case) -> Measured | None:
    """What is not declared is refused, or served rightly."""
    try:
        return check_value(subject, case)
    except REFUSALS:
        return None


def undeclared_cases(subject: Subject) -> list[Case]:
    spec = spec_of(subject)
    changes: list[dict[str, Any]] = [
        {"reduction": name} for name in ("mean", "sum", "none") if name not in spec.reductions
    ]
    changes += [] if spec.softcap else [{"softcap": 2.0}]
    return loss_cases(subject, changes)


def check_refusals(subject: Subject, case: Case) -> None:
    """A call that breaks the contract raises a clear error."""
    loss: Loss = case.values["loss"]
    tensors, targets_N, options = case.values["change"](
        loss.tensors(subject.device), loss.targets(subject.device), {"reduction": loss.reduction}
    )
    function = getattr(subject.backend, loss.op)
    require_refusal(case.name, lambda: function(*tensors, targets_N, **options))


def refusal_cases(subject: Subject) -> list[Case]:
    changes: dict[str, Callable[[list[Tensor], Tensor, dict[str, Any]], tuple[list[Tensor], Tensor, dict[str, Any]]]]
    changes = {
        "a target too few": lambda x, t, o: (x, t[:-1], o),
        "int32 targets": lambda x, t, o: (x, t.int(), o),
        "targets with two axes": lambda x, t, o: (x, t[:, None], o),
        "rows with three axes": lambda x, t, o: ([x[0][None], *x[1:]], t, o),
        "integer rows": lambda x, t, o: ([y.int() for y in x], t, o),
        "an unknown reduction": lambda x, t, o: (x, t, {"reduction": "average"}),
        "softcap 0": lambda x, t, o: (x, t, {**o, "softcap": 0.0}),
        "softcap -15": lambda x, t, o: (x, t, {**o, "softcap": -15.0}),
    }
    weighted = {
        "a weight of another width": lambda x, t, o: ([x[0], x[1][:, :-1]], t, o),
        "a weight with one axis": lambda x, t, o: ([x[0], x[1][0]], t, o),
        "a weight of another dtype": lambda x, t, o: ([x[0], x[1].double()], t, o),
    }
    cases = []
    for case in loss_cases(subject, [{}], first_dtype_only=True):
        loss: Loss = case.values["loss"]
        for name, change in {**changes, **(weighted if loss.op == LOSSES[0] else {})}.items():
            cases.append(Case(f"{loss.op}: {name}", {"loss": loss, "change": change}))
    return cases


def check_repeats(subject: Subject, case: Case) -> None:
    """Two runs give the same bits, gradients included."""
    loss: Loss = case.values["loss"]
    runs = []
    for _ in range(2):
        leaves = [x.requires_grad_(spec_of(subject).backward) for x in loss.tensors(subject.device)]
        got = loss.run(subject.backend, leaves, loss.targets(subject.device))
        runs.append([got, *(gradients(got, torch.ones_like(got), leaves) if spec_of(subject).backward else [])])
    for first, second in zip(*runs, strict=True):
        require_equal("the result of a second run", second, first)


def check_host_reads(subject: Subject, case: Case) -> None:
    """Neither forward nor backward makes the host wait, not even to count rows."""
    loss: Loss = case.values["loss"]
    for watch in (False, True):  # kernels are built in the first round
        leaves = [x.requires_grad_(spec_of(subject).backward) for x in loss.tensors(subject.device)]
        targets_N = loss.targets(subject.device)
        with HostReads() as reads:
            got = loss.run(subject.backend, leaves, targets_N)
            if spec_of(subject).backward:
                gradients(got, torch.ones_like(got), leaves)
        require(not watch or not reads.seen, f"the host waits for the device: {', '.join(reads.seen)}")


def check_compiles(subject: Subject, case: Case) -> None:
    """The call is one graph under `torch.compile`, backward included, and gives the eager result."""
    loss: Loss = case.values["loss"]
    backward = spec_of(subject).backward

    def step(tensors: list[Tensor], targets_N: Tensor) -> Tensor:
        return loss.run(subject.backend, tensors, targets_N) * 2

    results = []
    for function in (step, compiled(step)):
        leaves = [x.requires_grad_(backward) for x in loss.tensors(subject.device)]
        got = function(leaves, loss.targets(subject.device))
        if not isinstance(got, Tensor):
            raise TypeError(f"{loss.op} returned {type(got).__name__}")
        results.append([got, *(gradients(got, torch.ones_like(got), leaves) if backward else [])])
    for eager, graph in zip(*results, strict=True):
        size = max(1.0, float(eager.detach().abs().max()))
        require_close("a compiled result", graph, eager, (1e-5 if loss.dtype == "fp32" else 2e-2) * size)


def check_memory(subject: Subject, case: Case) -> Measured:
    """Forward and backward never hold half of the N x V logits in the inputs' dtype, as the declared class says."""
    loss: Loss = case.values["loss"]
    leaves = [x.requires_grad_(spec_of(subject).backward) for x in loss.tensors(subject.device)]
    targets_N = loss.targets(subject.device)

    def step() -> object:
        got = loss.run(subject.backend, leaves, targets_N)
        return gradients(got, torch.ones_like(got), leaves) if spec_of(subject).backward else got

    held, limit = peak_bytes(step, subject.device), loss.rows * loss.vocabulary * leaves[0].itemsize // 2
    if held > limit:
        detail = f"{held:,} bytes held at once, limit {limit:,}: not {spec_of(subject).memory}"
        raise Broken(detail, error=float(held), limit=float(limit))
    return Measured(float(held), float(limit))


def memory_cases(subject: Subject) -> list[Case]:
    spec = spec_of(subject)
    measurable = torch.device(subject.device).type in ("cpu", "cuda")
    if not measurable or spec.memory not in ("chunk", "tile") or LOSSES[0] not in spec.ops:
        return []
    dtype, softcap = dtypes_of(spec)[0], 15.0 if spec.softcap else None
    size: dict[str, Any] = {"rows": 131072, "vocabulary": 128, "width": 16}
    return [
        Loss(op=LOSSES[0], dtype=dtype, reduction=reduction, softcap=softcap, **size).case()
        for reduction in sorted(spec.reductions)
    ]

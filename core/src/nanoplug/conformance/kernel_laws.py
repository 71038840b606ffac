"""The laws of a kernel: its losses here, rms_norm and rotary in `kernel_op_laws`."""

from __future__ import annotations

from nanoplug.conformance import kernel_checks as checks
from nanoplug.conformance import kernel_wrong as wrong
from nanoplug.conformance.kernel_op_laws import OP_LAWS
from nanoplug.conformance.law import Law

LARGE = {"scale": 1000.0, "rows": 33}
MANY_ROWS = {"rows": 9001, "vocabulary": 37, "width": 16, "ignored": 3}

LAWS: tuple[Law, ...] = (
    Law(
        name="mean_loss",
        says="`mean` is the sum over the rows with a target over their count, in nats and fp32.",
        cases=checks.reduction_cases("mean"),
        check=checks.check_value,
        wrong=wrong.MEAN,
    ),
    Law(
        name="sum_loss",
        says="`sum` is the sum.",
        cases=checks.reduction_cases("sum"),
        check=checks.check_value,
        wrong=wrong.SUM,
    ),
    Law(
        name="loss_of_each_row",
        says="`none` gives one loss a row, 0 where there is no target.",
        cases=checks.reduction_cases("none"),
        check=checks.check_value,
        wrong=wrong.NONE,
    ),
    Law(
        name="ignore_index",
        says="The rows with ignore_index have no target, whatever its value, and only those.",
        cases=checks.cases({"ignore_index": -100}, {"ignore_index": 0}, {"ignore_index": 50, "ignored": 2}),
        check=checks.check_value,
        wrong=wrong.IGNORE_INDEX,
    ),
    Law(
        name="softcap",
        says="Logits are capped as softcap * tanh(logit / softcap).",
        cases=checks.cases(
            {"softcap": 15.0, "scale": 9.0}, {"softcap": 2.0}, {"softcap": 30.0, "rows": 65}, needs=("softcap",)
        ),
        check=checks.check_value,
        wrong=wrong.SOFTCAP,
    ),
    Law(
        name="softcap_in_fp32",
        says="The cap is computed in fp32, also for bf16 and fp16 inputs.",
        cases=checks.cases({"softcap": 15.0, "rows": 65}, needs=("softcap",)),
        check=checks.check_cap_precision,
        wrong=wrong.SOFTCAP_IN_FP32,
    ),
    Law(
        name="large_logits",
        says="Logits in the thousands give no NaN and no overflow.",
        cases=checks.cases(LARGE),
        check=checks.check_value,
        wrong=wrong.LARGE_LOGITS,
    ),
    Law(
        name="many_rows",
        says="Thousands of rows give what few do: no chunk is lost or weighed wrongly.",
        cases=checks.cases(MANY_ROWS, first_dtype_only=True),
        check=checks.check_value,
        wrong=wrong.MANY_ROWS,
    ),
    Law(
        name="loss_gradients",
        says="The gradients are those of the exact operation.",
        cases=checks.cases(
            {}, {"rows": 65, "vocabulary": 257, "width": 64}, {"rows": 1, "ignored": 0}, needs=("backward",)
        ),
        check=checks.check_gradients,
        wrong=wrong.LOSS_GRADIENTS,
    ),
    Law(
        name="softcap_gradients",
        says="The gradients pass through the cap.",
        cases=checks.cases({"softcap": 15.0, "scale": 9.0}, {"softcap": 2.0}, needs=("softcap", "backward")),
        check=checks.check_gradients,
        wrong=wrong.SOFTCAP_GRADIENTS,
    ),
    Law(
        name="gradients_of_many_rows",
        says="Thousands of rows: no chunk's gradient is lost.",
        cases=checks.cases(MANY_ROWS, needs=("backward",), first_dtype_only=True),
        check=checks.check_gradients,
        wrong=wrong.GRADIENTS_OF_MANY_ROWS,
    ),
    Law(
        name="upstream",
        says="A loss that is scaled afterwards scales its gradients.",
        cases=checks.with_upstream(3.0, checks.cases({}, needs=("backward",))),
        check=checks.check_gradients,
        wrong=wrong.UPSTREAM,
    ),
    Law(
        name="sum_gradients",
        says="`sum` has the gradient of the sum.",
        cases=checks.with_upstream(0.5, checks.cases({"reduction": "sum"}, needs=("sum", "backward"))),
        check=checks.check_gradients,
        wrong=wrong.SUM_GRADIENTS,
    ),
    Law(
        name="gradients_of_each_row",
        says="`none` passes each row's own weight back.",
        cases=checks.with_upstream("random", checks.cases({"reduction": "none"}, needs=("none", "backward"))),
        check=checks.check_gradients,
        wrong=wrong.GRADIENTS_OF_EACH_ROW,
    ),
    Law(
        name="all_ignored",
        says="Without any target the loss is 0 with zero gradient, never NaN.",
        cases=checks.all_ignored_cases,
        check=checks.check_all_ignored,
        wrong=wrong.ALL_IGNORED,
    ),
    Law(
        name="loss_inputs",
        says="Strided inputs give the same loss, and no input is written to.",
        cases=checks.cases({}),
        check=checks.check_inputs,
        wrong=wrong.LOSS_INPUTS,
    ),
    Law(
        name="bad_targets",
        says="Under the check, a target outside the vocabulary raises.",
        cases=checks.cases({}, first_dtype_only=True),
        check=checks.check_bad_targets,
        wrong=wrong.BAD_TARGETS,
    ),
    Law(
        name="undeclared",
        says="What is not declared is refused or served rightly, never ignored.",
        cases=checks.undeclared_cases,
        check=checks.check_undeclared,
        wrong=wrong.UNDECLARED,
    ),
    Law(
        name="loss_refusals",
        says="Wrong shapes, dtypes and options raise a clear error.",
        cases=checks.refusal_cases,
        check=checks.check_refusals,
        wrong=wrong.LOSS_REFUSALS,
    ),
    Law(
        name="deterministic",
        says="The same inputs give the same bits.",
        cases=checks.cases({"rows": 257}, needs=("deterministic",)),
        check=checks.check_repeats,
        wrong=wrong.DETERMINISTIC,
    ),
    Law(
        name="host_reads",
        says="No loss waits for the device.",
        cases=checks.in_each_reduction(),
        check=checks.check_host_reads,
        wrong=wrong.HOST_READS,
    ),
    Law(
        name="compiles",
        says="No graph break under torch.compile.",
        cases=checks.in_each_reduction(MANY_ROWS, needs=("compile_safe",)),
        check=checks.check_compiles,
        wrong=wrong.COMPILES,
    ),
    Law(
        name="memory",
        says="The loss over hidden and weight holds what its memory class says.",
        cases=checks.memory_cases,
        check=checks.check_memory,
        wrong=wrong.MEMORY,
    ),
    *OP_LAWS,
)

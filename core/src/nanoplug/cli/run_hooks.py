"""What a run does between its steps: save, validate, sample, and evaluate by compiling and running."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import frozen
from rich.console import Console

from nanoplug.cli.say import say_line
from nanoplug.config import Config
from nanoplug.contracts import Device, Tokenizer
from nanoplug.data.eval_rows import EvalLoader
from nanoplug.evaluation.bits_per_byte import bits_per_byte
from nanoplug.model.config import GPTConfig
from nanoplug.optim.optimizers import Optimizers
from nanoplug.training.checkpoint import Checkpoints
from nanoplug.training.loop import Hooks
from nanoplug.training.metrics import Metrics

T = TypeVar("T")
SAMPLE_TOKENS = 128
SAMPLE_PROMPTS = (
    "#include <vector>\n\n// Returns the sum of all elements.\nint sum(const std::vector<int>& values) {",
    "#include <string>\n\n// Converts a string to upper case.\nstd::string to_upper(const std::string& text) {",
    "#include <vector>\n\n// Removes duplicates from a sorted vector.\nvoid unique(std::vector<int>& values) {",
    "// Swaps two integers.\nvoid swap(int& a, int& b) {",
    "#include <cmath>\n\n// Distance of two points.\ndouble distance(double x1, double y1, double x2, double y2) {",
)


@frozen(kw_only=True)
class RunHooks:
    """The parts that the hooks of one run work on. loss_of: the compiled model, model: the same, not compiled."""

    config: Config
    model: Any
    loss_of: Any
    optimizer: Optimizers
    device: Device
    tokenizer: Tokenizer
    checkpoints: Checkpoints
    metrics: Metrics
    validation: EvalLoader
    validation_state: Mapping[str, Any]
    receipt: str
    model_config: GPTConfig
    console: Console

    def as_hooks(self) -> Hooks:
        return Hooks(save=self.save, evaluate=self.evaluate, sample=self.sample, cpp=self.cpp)

    def save(self, step: int, loader_state: Any) -> None:
        self.checkpoints.save(
            step,
            model=dict(self.model.named_parameters()),
            optimizer=self.optimizer.state_tensors(),
            random=self.device.rng_state(),
            receipt=self.receipt,
            state={
                "model": self.model_config.to_dict(),
                "config": self.config.to_dict(),
                "tokenizer": self.tokenizer.fingerprint,
                "world_size": self.device.world_size,
                # Of every rank; this process is the only one.
                "loader": [loader_state],
                "validation": dict(self.validation_state),
                "metrics": self.metrics.state_dict(),
            },
        )
        self.metrics.checkpointed(step)

    def evaluate(self, step: int) -> None:
        self.metrics.flush()
        result = bits_per_byte(self.loss_of, self.validation, self.tokenizer.bytes_per_token, self.device)
        self.metrics.evaluated(step, result.bpb, {"val_bytes": result.bytes, "val_tokens": result.tokens})

    def sample(self, step: int) -> None:
        from nanoplug.inference.completion import complete_text
        from nanoplug.inference.engine import Engine

        def run() -> list[str]:
            engine = Engine(self.model, self.tokenizer, device=self.device)
            return [
                complete_text(engine, prompt, max_tokens=SAMPLE_TOKENS, temperature=0.0)[0] for prompt in SAMPLE_PROMPTS
            ]

        completions = self._aside("sampling", step, run)
        if completions is not None:
            for prompt, completion in zip(SAMPLE_PROMPTS, completions, strict=True):
                self.metrics.sampled(step, prompt, completion)

    def cpp(self, step: int) -> None:
        from nanoplug.cli.cpp_completer import cpp_completer
        from nanoplug.evaluation.cpp_evaluation import CppReport, evaluate_cpp
        from nanoplug.evaluation.cpp_problems import load_problems
        from nanoplug.evaluation.judge import Judge
        from nanoplug.inference.engine import Engine

        def run() -> CppReport:
            engine = Engine(self.model, self.tokenizer, device=self.device)
            problems = load_problems()[: self.config.cadence.cpp_eval_max_problems]
            return evaluate_cpp(problems, cpp_completer(engine), Judge())

        report = self._aside("C++ evaluation", step, run)
        if report is not None:
            rates = {"cpp_pass_rate": report.pass_rate, "cpp_compile_rate": report.compile_rate}
            self.metrics.record("cpp", step, rates)

    def _aside(self, what: str, step: int, run: Callable[[], T]) -> T | None:
        """A failure of something beside the training is told and does not end it; None stands for it."""
        training = self.model.training
        self.metrics.flush()
        try:
            self.model.eval()
            return run()
        except Exception as error:
            say_line(self.console, f"{what} failed at step {step:,}: {type(error).__name__}: {error}")
            return None
        finally:
            self.model.train(training)

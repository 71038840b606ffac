"""Chooses the backend of a site and loads it. Nothing falls back without saying so."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from nanoplug.errors import NanoplugError, PluginError, nearest
from nanoplug.registry import options as option_values
from nanoplug.registry.catalogue import Catalogue, Entry, Plugin
from nanoplug.registry.choice import Choice
from nanoplug.registry.judge import judge
from nanoplug.registry.kernel_set import KernelSet, functions_of, missing_ops
from nanoplug.registry.machine import Machine
from nanoplug.registry.piece import Piece, capabilities
from nanoplug.registry.probe import probe
from nanoplug.registry.request import Request
from nanoplug.registry.target import fault, files_sha256, resolve_target
from nanoplug.registry.tuning import Timed, Tuning
from nanoplug.registry.verdicts import Subject, Verdicts
from nanoplug.spec import KERNEL_OPS, KINDS, KernelSpec, Spec


@frozen
class Candidate:
    """reasons: why it cannot serve, empty if it can. rank: under `auto`, on the device asked for.

    timed: its measured time, if that decides the order. untimed: why measured times that are there do not.
    """

    entry: Entry
    rank: int
    reasons: tuple[str, ...] = ()
    timed: Timed | None = None
    untimed: str = ""

    @property
    def ok(self) -> bool:
        return not self.reasons


@frozen
class Resolver:
    """What a choice is made from. may_probe: backends without a verdict are loaded in a child first.

    tuning: measured times, by which `auto` orders where they are of exactly what is ready; None: by rank alone.
    """

    catalogue: Catalogue
    machine: Machine
    verdicts: Verdicts = field(factory=Verdicts)
    may_probe: bool = True
    tuning: Tuning | None = None

    def candidates(self, kind: str, request: Request, choice: Choice | None = None) -> list[Candidate]:
        """Every backend of `kind`, in the order in which they are tried, judged by facts and remembered verdicts."""
        if kind not in KINDS:
            raise PluginError(f"there is no kind {kind!r}{nearest(kind, KINDS)}.", todo=f"Kinds: {', '.join(KINDS)}.")
        choice = choice or Choice()
        device = request.device or self.machine.devices[0]

        def order(candidate: Candidate) -> tuple[int, float, int, str]:
            places = [n for n, name in enumerate(choice.prefer) if candidate.entry.answers_to(name)]
            # What cannot serve has no time and stays in front, so that it is seen to be passed over.
            ms = candidate.timed.order if candidate.timed else 0.0
            return (min(places, default=len(choice.prefer)), ms, -candidate.rank, candidate.entry.id)

        found = []
        for entry in self.catalogue.entries(kind):
            by_id = entry.id in (choice.name, *choice.prefer)
            reasons = self.reasons(entry, request, by_id=by_id)
            if any(entry.answers_to(name) for name in choice.forbid):
                reasons = ("forbidden by the choice", *reasons)
            found.append(Candidate(entry, entry.spec.rank_on.get(device, entry.spec.rank), reasons))
        return sorted(self._timed(kind, request, found), key=order)

    def _timed(self, kind: str, request: Request, found: list[Candidate]) -> list[Candidate]:
        if self.tuning is None:
            return found
        ready = [candidate.entry for candidate in found if candidate.ok]
        timed, unused = self.tuning.judge(kind, request, self.machine, ready)
        return [evolve(one, timed=timed.get(one.entry.id), untimed=unused) for one in found]

    def reasons(self, entry: Entry, request: Request, *, by_id: bool = False) -> tuple[str, ...]:
        """Why `entry` cannot serve, from facts and remembered verdicts; nothing is loaded."""
        broken = tuple(problem.text for problem in entry.faults(by_id=by_id))
        if broken:
            return broken
        try:
            unfit = tuple(map(str, judge(entry.spec, self.machine, request)))
        except Exception as error:  # a container of head sizes is the plugin's own code
            unfit = (f"its declarations cannot be judged: {type(error).__name__}: {error}",)
        return unfit or (self.load_fault(entry) if self.machine.is_here else ())

    def load_fault(self, entry: Entry) -> tuple[str, ...]:
        """What the remembered first load came to; if there was none and is to be none, what the files tell."""
        verdict = self.verdicts.find(Subject.of(entry, self.machine), entry.spec.load_limit_s)
        if verdict is None:
            return () if self.may_probe else tuple(filter(None, (fault(entry.spec.load),)))
        if verdict.ok:
            return ()
        return (f"quarantined: {verdict.text}" if verdict.quarantines else verdict.text,)

    def choose(self, kind: str, choice: Choice, request: Request) -> tuple[Candidate, str, list[Candidate]]:
        """The backend that serves, why, and what was passed over; it has been loaded in a child once.

        Raises PluginError with every reason if a name cannot serve, or if nothing can.
        """
        candidates = self.candidates(kind, request, choice)
        if choice.name is not None:
            return self._require(kind, choice.name, candidates), "by name", []
        passed_over: list[Candidate] = []
        for candidate in candidates:
            reasons = candidate.reasons or self._first_load(candidate.entry)
            if not reasons:
                return candidate, _why(candidate, choice, candidates), passed_over
            passed_over.append(evolve(candidate, reasons=reasons))
        raise PluginError(
            f"no {kind} can serve this request ({choice})." if candidates else f"no {kind} plugin is installed.",
            details=[*_lines(passed_over), *self._failed_plugins()],
            todo="Change the request, or install a plugin that serves it: `nanoplug plugins list` shows what is here.",
        )

    def _first_load(self, entry: Entry) -> tuple[str, ...]:
        if not self.may_probe:
            return ()
        probe([entry], self.machine, self.verdicts)
        return self.load_fault(entry)

    def _require(self, kind: str, name: str, candidates: list[Candidate]) -> Candidate:
        named = [candidate for candidate in candidates if candidate.entry.answers_to(name)]
        if not named:
            raise self._unknown(kind, name, candidates)
        reasons = [(c.entry, reason) for c in named for reason in c.reasons or self._first_load(c.entry)]
        if not reasons and len(named) == 1:
            return named[0]
        texts = list(dict.fromkeys(reason for _, reason in reasons))
        if len(named) > 1 and len(texts) > 1:
            texts = [f"{entry.id}: {reason}" for entry, reason in reasons]
        ready = [c.entry.name for c in candidates if c.ok and c not in named]
        others = (
            f"Ready here for this request: {', '.join(ready)}. Choose auto, or name one of them."
            if ready
            else f"No other {kind} is ready here for this request."
        )
        raise PluginError(
            f"{kind} {name!r} cannot serve this request.",
            details=texts,
            todo=f"{others} `nanoplug plugins show {name}` has the whole cause.",
        )

    def _unknown(self, kind: str, name: str, candidates: list[Candidate]) -> PluginError:
        """No backend has this name; perhaps because the plugin that would give it is broken."""
        meant = [plugin for plugin in self.catalogue.failed() if name in (plugin.name, plugin.id, plugin.distribution)]
        if meant:
            return PluginError(
                f"{kind} {name!r} cannot be used: its plugin is broken.",
                details=self._failed_plugins(meant),
                todo=f"`nanoplug plugins show {name}` has the whole cause.",
            )
        known = [alias for c in candidates for alias in (c.entry.name, c.entry.id)]
        return PluginError(
            f"there is no {kind} {name!r}{nearest(name, known)}.",
            details=self._failed_plugins(),
            todo=f"Installed: {', '.join(dict.fromkeys(c.entry.name for c in candidates)) or 'none'}.",
        )

    def _failed_plugins(self, plugins: Iterable[Plugin] | None = None) -> list[str]:
        return [
            f"broken plugin {plugin.name} ({plugin.distribution} {plugin.version}): {problem.text}"
            for plugin in (self.catalogue.failed() if plugins is None else plugins)
            for problem in plugin.problems
        ]


def resolve(
    catalogue: Catalogue,
    machine: Machine,
    *,
    kind: str,
    site: str | None = None,
    choice: Choice | None = None,
    request: Request | None = None,
    options: Mapping[str, Any] | None = None,
    verdicts: Verdicts | None = None,
    tuning: Tuning | None = None,
) -> Piece:
    """Choose the backend of `site` (by default the kind itself), load it with `options`, and say all about it.

    tuning: measured times that `auto` may go by; they are of default options, so a site with options goes by rank.
    Raises PluginError with every reason if nothing can serve, for an unknown option, and if loading fails.
    """
    resolver = Resolver(catalogue, machine, verdicts or Verdicts(), tuning=None if options else tuning)
    choice, request = choice or Choice(), request or Request()
    candidate, why, passed_over = resolver.choose(kind, choice, request)
    entry = candidate.entry
    chosen = option_values.complete(entry.spec, options or {})
    backend = _load(entry, chosen)
    rejected = [(candidate.entry.id, candidate.reasons) for candidate in passed_over]
    rejected += [(f":{name}", ("is not installed",)) for name in choice.prefer if not catalogue.named(kind, name)]
    providers: dict[str, str] = {}
    completed_by = None
    if isinstance(entry.spec, KernelSpec):
        backend, providers, completed_by = _complete_kernel(resolver, entry, backend, request)
    return Piece(
        site=site or kind,
        kind=kind,
        name=entry.name,
        id=entry.id,
        distribution=entry.distribution,
        version=entry.version,
        files_sha256=files_sha256(entry.spec.load),
        options=chosen,
        capabilities=capabilities(entry.spec),
        why=why,
        rejected=tuple(rejected),
        tuning=candidate.timed.sha256 if candidate.timed and not _is_asked_for(entry, choice) else "",
        providers=providers,
        completed_by=completed_by,
        backend=backend,
    )


def _load(entry: Entry, options: Mapping[str, Any]) -> Any:
    try:
        # A backend may print as it loads; the output of the command is not the place for it.
        with contextlib.redirect_stdout(sys.stderr):
            make: Callable[..., Any] = resolve_target(entry.spec.load)
            return make(**options)
    except (KeyboardInterrupt, NanoplugError):
        raise
    except BaseException as error:  # a backend may raise anything, SystemExit included
        raise PluginError(
            f"{entry.kind} {entry.name!r} of {entry.distribution} {entry.version} failed to load.",
            details=[
                f"{type(error).__name__}: {error}",
                *(f"option {key} = {value!r}" for key, value in options.items()),
            ],
            todo="It loaded in a child process with its default options: look at the options, or report it.",
        ) from error


def _complete_kernel(
    resolver: Resolver, entry: Entry, backend: Any, request: Request
) -> tuple[KernelSet, dict[str, str], Piece | None]:
    spec = entry.spec
    assert isinstance(spec, KernelSpec)
    functions = functions_of(backend, spec, f"kernel {entry.name!r}")
    providers = dict.fromkeys(functions, entry.id)
    missing = missing_ops(spec)
    completed_by = None
    if missing:
        completed_by = _reference(resolver, entry, missing, request)
        functions |= {op: getattr(completed_by.backend, op) for op in missing}
        providers |= dict.fromkeys(missing, completed_by.id)
    ordered = {op: providers[op] for op in KERNEL_OPS}
    return KernelSet(functions, ordered), ordered, completed_by


def _reference(resolver: Resolver, entry: Entry, missing: Iterable[str], request: Request) -> Piece:
    ops = ", ".join(missing)
    asked = Request(device=request.device, dtype=request.dtype, backward=request.backward)
    candidates = [c for c in resolver.candidates("kernel", asked) if _is_reference(c.entry.spec)]
    usable = [c for c in candidates if not (c.reasons or resolver._first_load(c.entry))]
    if not usable:
        raise PluginError(
            f"kernel {entry.name!r} has no {ops}, and no installed kernel with reference=True can serve them.",
            details=_lines(candidates),
            todo="Install a kernel plugin that declares reference=True; nanoplug[default] has one.",
        )
    return resolve(
        resolver.catalogue,
        resolver.machine,
        kind="kernel",
        site="kernel.reference",
        choice=Choice(name=usable[0].entry.id),
        request=asked,
        verdicts=resolver.verdicts,
    )


def _is_reference(spec: Spec) -> bool:
    return isinstance(spec, KernelSpec) and spec.reference


def _is_asked_for(entry: Entry, choice: Choice) -> bool:
    return any(entry.answers_to(name) for name in (choice.name, *choice.prefer) if name is not None)


def _why(chosen: Candidate, choice: Choice, candidates: list[Candidate]) -> str:
    if _is_asked_for(chosen.entry, choice):
        return f"preferred ({choice})"
    fit = [candidate for candidate in candidates if candidate.ok]
    if chosen.timed is None or chosen.timed.ms is None:
        by_rank = f"{choice}: rank {chosen.rank}, best of {len(fit)} that fit"
        return f"{by_rank}; {chosen.untimed}" if chosen.untimed else by_rank
    others = [f"{one.entry.name} {one.timed.ms:.3g} ms" for one in fit if one.timed and one.timed.ms and one != chosen]
    following = f", next {others[0]}" if others else ""
    return f"{choice}: tuned on {chosen.timed.date}: {chosen.timed.ms:.3g} ms{following}"


def _lines(candidates: Iterable[Candidate]) -> list[str]:
    return [f"{candidate.entry.id}: {'; '.join(candidate.reasons)}" for candidate in candidates]

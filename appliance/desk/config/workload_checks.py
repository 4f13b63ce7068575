"""What must hold within a workload of appliance.yaml, and what is worth a second thought. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from appliance.desk.config import values
from appliance.desk.config.file import WorkloadSection
from appliance.desk.config.finding import Finding, group, host_of, parsed
from appliance.desk.config.yaml_lines import Value, Where
from appliance.desk.settings import ModelRef

_DEFAULTS = WorkloadSection.model_fields


@dataclass(frozen=True)
class Named:
    """A model that a workload names, and where."""

    where: Where
    ref: ModelRef
    role: str  # primary | fallback


def check_workloads(file: dict[str, Value]) -> Iterator[Finding]:
    providers = group(file, "providers")
    for name, workload in group(file, "workloads").items():
        if isinstance(workload, dict):
            models = named(name, workload)
            yield from _known(models, providers)
            yield from _failing_over(("workloads", name), workload)
            yield from _independence(models, providers)
            yield from _tokens(("workloads", name), workload, models)


def named(name: str, workload: dict[str, Value]) -> list[Named]:
    """The primary and the fallbacks in their order, as far as they can be read."""
    where: Where = ("workloads", name)
    said = workload.get("fallback")
    several = [((*where, "fallback", n), one) for n, one in enumerate(said)] if isinstance(said, list) else []
    places = [((*where, "primary"), workload.get("primary"), "primary")]
    places += [(at, one, "fallback") for at, one in several or [((*where, "fallback"), said)]]
    found = [(at, _ref(one), role) for at, one, role in places]
    return [Named(at, ref, role) for at, ref, role in found if ref is not None]


def _ref(said: Value) -> ModelRef | None:
    if not isinstance(said, dict):
        return parsed(values.model_ref, said)
    ref, window = parsed(values.model_ref, said.get("model")), said.get("context_window")
    return replace(ref, context_window=window) if ref and type(window) is int else ref


def _known(models: Sequence[Named], providers: dict[str, Value]) -> Iterator[Finding]:
    for model in models:
        if providers and model.ref.provider not in providers:
            right = values.suggest(model.ref.provider, providers, "providers")
            yield Finding(model.where, f"no provider {values.quote(model.ref.provider)}", right)


def _failing_over(where: Where, workload: dict[str, Value]) -> Iterator[Finding]:
    closed, fallback = workload.get("fail_closed", False), workload.get("fallback") or None
    if fallback is None and closed is False:
        yield Finding(
            where,
            "says neither what answers when the primary fails, nor that nothing should",
            "fallback: provider/model, or fail_closed: true",
        )
    if fallback is not None and closed is True:
        yield Finding((*where, "fail_closed"), "there is a fallback as well", "keep one of the two")
    if closed is True and fallback is None:
        what = "when the primary fails, this workload's requests fail: by choice"
        right = (
            "" if workload.get("failed_status") == 422 else "failed_status: 422 lets clients read the cause"
        )
        yield Finding((*where, "fail_closed"), what, right, warning=True)
        if workload.get("mode") == "hold":
            what = "holds answers back, and has no fallback that would answer in place of a broken one"
            yield Finding((*where, "mode"), what, "pass", warning=True)


def _independence(models: Sequence[Named], providers: dict[str, Value]) -> Iterator[Finding]:
    """A fallback that falls with one before it is none."""
    for number, model in enumerate(models):
        for earlier in models[:number]:
            if model.ref == earlier.ref:
                same = "is the primary itself" if earlier.role == "primary" else "stands there twice"
                yield Finding(model.where, same, "another model, or fail_closed: true")
                break
            shared = _shared(earlier, model, providers)
            if shared is not None:
                yield shared
                break


def _shared(earlier: Named, model: Named, providers: dict[str, Value]) -> Finding | None:
    whose = "the primary's" if earlier.role == "primary" else "another fallback's"
    right = "a fallback at another vendor survives more"
    if earlier.ref.provider == model.ref.provider:
        what = f"is at {whose} provider, {values.quote(model.ref.provider)}"
        return Finding(model.where, what, right, warning=True)
    first, second = group(providers, earlier.ref.provider), group(providers, model.ref.provider)
    host = host_of(first.get("base_url"))
    if host and host == host_of(second.get("base_url")):
        what = f"is at {whose} host, {values.quote(host)}"
        return Finding(model.where, what, right, warning=True)
    key = parsed(values.secret_ref, first.get("key"))
    if key is not None and key == parsed(values.secret_ref, second.get("key")):
        what = f"uses {whose} key, {key}: one spent quota stops both"
        return Finding(model.where, what, "a key of its own", warning=True)
    return None


def _tokens(where: Where, workload: dict[str, Value], models: Sequence[Named]) -> Iterator[Finding]:
    answer = workload.get("max_tokens", _DEFAULTS["max_tokens"].default)
    windows: list[Value] = [workload.get("context_window", _DEFAULTS["context_window"].default)]
    windows += [model.ref.context_window for model in models]
    smallest = min((window for window in windows if type(window) is int), default=None)
    if smallest is not None and type(answer) is int and answer >= smallest:
        what = f"{answer} leaves no room for a question in a context window of {smallest}"
        yield Finding((*where, "max_tokens"), what, "fewer")

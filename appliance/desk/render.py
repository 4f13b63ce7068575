"""Templates of image/templates and settings -> the files of a bundle. The only jinja2. Pure.

What a template may name is documented in image/templates/README.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

from appliance.contract.trouble import Trouble
from appliance.desk.settings import ModelRef, Settings

SUFFIX = ".j2"


def render(settings: Settings, templates: Mapping[str, str]) -> dict[str, bytes]:
    """`x.j2` becomes `x`; a file without that ending goes as it is. Sorted by path."""
    environment = Environment(
        loader=DictLoader(dict(templates)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML here; JSON goes through `tojson`
    )
    # jinja2's own filter escapes for HTML.
    environment.filters["tojson"] = lambda value, indent=None: json.dumps(value, indent=indent)
    values = context(settings)
    files = {}
    for path, text in sorted(templates.items()):
        if not path.endswith(SUFFIX):
            files[path] = text.encode()
            continue
        try:
            files[path.removesuffix(SUFFIX)] = environment.get_template(path).render(values).encode()
        except TemplateError as error:
            raise Trouble(f"The template {path} cannot be rendered.", why=str(error)) from error
    return files


def context(settings: Settings) -> dict[str, Any]:
    """What a template may name."""
    return {
        "name": settings.name,
        "workloads": [
            {
                "name": workload.name,
                "primary": _model(workload.primary),
                "fallback": _model(workload.fallback) if workload.fallback else None,
                "fail_closed": workload.fail_closed,
                "context_window": workload.context_window,
                "max_tokens": workload.max_tokens,
            }
            for workload in settings.workloads
        ],
        "providers": [
            {
                "name": provider.name,
                "api": provider.api.value,
                "base_url": provider.base_url,
                "timeout_seconds": provider.timeout_seconds,
                "models": _models_of(provider.name, settings),
            }
            for provider in settings.providers
        ],
        "network": {"ip_range": str(settings.network.ip_range), "subnet": str(settings.network.subnet)},
        "ssh": _by_version(settings.access.ssh),
        "api": _by_version(settings.access.api),
        "tls": {"names": list(settings.tls.names), "own_ca": settings.tls.certificate is None},
    }


def _model(ref: ModelRef) -> dict[str, str]:
    return {"provider": ref.provider, "model": ref.model, "ref": str(ref)}


def _models_of(provider: str, settings: Settings) -> list[dict[str, Any]]:
    """Each model of a provider once, with the largest window and answer that any workload wants of it."""
    models: dict[str, dict[str, Any]] = {}
    for workload in settings.workloads:
        for ref in (workload.primary, workload.fallback):
            if ref is None or ref.provider != provider:
                continue
            model = models.setdefault(ref.model, {"id": ref.model, "context_window": 0, "max_tokens": 0})
            model["context_window"] = max(model["context_window"], workload.context_window)
            model["max_tokens"] = max(model["max_tokens"], workload.max_tokens)
    return list(models.values())


def _by_version(sources: tuple[Any, ...]) -> dict[str, list[str]]:
    """nftables keeps IPv4 and IPv6 in sets of their own."""
    return {
        "v4": [str(source) for source in sources if source.version == 4],
        "v6": [str(source) for source in sources if source.version == 6],
    }

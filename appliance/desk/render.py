"""Templates of image/templates and settings -> the files of a bundle. The only jinja2. Pure.

What a template may name is documented in image/templates/README.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

from appliance.contract.router_admin import DRILL_WORKLOADS
from appliance.contract.router_policy import MODEL_PREFIX, PORT
from appliance.contract.trouble import Trouble
from appliance.desk.settings import Settings, Workload

SUFFIX = ".j2"
# Seconds. The inner one speaks first: the router of a request that ran out of time, then the gateway of a
# router that says nothing, and both before the edge's `timeout server`.
ROUTER_FIRST = 30
GATEWAY_FIRST = 15


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
                "ref": MODEL_PREFIX + workload.name,
                "context_window": _window(workload),
                "max_tokens": workload.max_tokens,
            }
            for workload in settings.workloads
        ],
        "lanes": [
            {
                "name": lane,
                "ref": MODEL_PREFIX + lane,
                "context_window": max(map(_window, settings.workloads)),
                "max_tokens": max(workload.max_tokens for workload in settings.workloads),
            }
            for lane in DRILL_WORKLOADS
        ],
        "router": {
            "base_url": f"http://127.0.0.1:{PORT}/v1",
            "timeout_seconds": _longest(settings) + ROUTER_FIRST,
            "agent_timeout_seconds": _longest(settings) + ROUTER_FIRST + GATEWAY_FIRST,
        },
        "network": {"ip_range": str(settings.network.ip_range), "subnet": str(settings.network.subnet)},
        "ssh": _by_version(settings.access.ssh),
        "api": _by_version(settings.access.api),
        "tls": {"names": list(settings.tls.names), "own_ca": settings.tls.certificate is None},
    }


def _window(workload: Workload) -> int:
    """The largest of its models': what one of them takes is the router's to find out, not the gateway's."""
    return max(workload.window_of(model) for model in workload.models)


def _longest(settings: Settings) -> int:
    return math.ceil(max(workload.deadlines.total for workload in settings.workloads))


def _by_version(sources: tuple[Any, ...]) -> dict[str, list[str]]:
    """nftables keeps IPv4 and IPv6 in sets of their own."""
    return {
        "v4": [str(source) for source in sources if source.version == 4],
        "v6": [str(source) for source in sources if source.version == 6],
    }

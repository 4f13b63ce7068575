"""Pages for people: like `render.py`, the only jinja2, but every value is escaped for HTML. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from jinja2 import DictLoader, Environment, StrictUndefined


def render_page(
    name: str,
    templates: Mapping[str, str],
    values: Mapping[str, object],
    filters: Mapping[str, Callable[..., object]],
) -> str:
    """`name` of `templates`, which may include the others. Nothing in `values` is taken for markup."""
    environment = Environment(
        loader=DictLoader(dict(templates)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name).render(values)

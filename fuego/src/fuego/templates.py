"""Jinja2 templates, autoescaped."""

import os
from typing import Any

from .errors import MissingExtraError
from .request import Request
from .response import HTMLResponse


class Templates:
    """A folder of templates. In each, `request` and `url_for` are at hand; an undefined name is
    an error, not an empty string. `environment` is Jinja2's own, to add filters to."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            import jinja2
        except ImportError:
            raise MissingExtraError("a template", "templates") from None
        self.environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(folder),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )

    def render(
        self, request: Request, name: str, /, *, status: int = 200, **values: Any
    ) -> HTMLResponse:
        template = self.environment.get_template(name)
        text = template.render(request=request, url_for=request.url_for, **values)
        return HTMLResponse(text, status)

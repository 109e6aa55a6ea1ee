"""Which methods a url has, and who answers them; all other methods are refused with 405."""

from collections.abc import Callable
from dataclasses import dataclass

from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response


@dataclass(frozen=True)
class Route:
    """Who answers a url.

    Attributes:
        view: returns the answer to a request.
        methods: that it knows; with GET comes HEAD.
    """

    view: Callable[..., Response]
    methods: tuple[str, ...]


class JobId(BaseConverter):
    """The part `<id:...>` of a url: jobs/JOB is no url of the page jobs/JOB.html."""

    regex = "[^/.]+"


def route(view: Callable[..., Response], *methods: str) -> Route:
    """Return the route of a view that knows these methods."""
    return Route(view, methods)

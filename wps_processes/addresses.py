"""Under which address the service is reached."""

import re
from dataclasses import dataclass

from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Request

_HOST = re.compile(r"[A-Za-z0-9.\-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?")


@dataclass(frozen=True)
class Addresses:
    """Makes the service's address for each client.

    Attributes:
        prefix: path under which the service is reached, with a slash at both ends.
        public_url: address of the geoportal for people; "" takes it from each request.
    """

    prefix: str = "/services/wps/"
    public_url: str = ""

    def of(self, request: Request) -> str:
        """Return the service's address as this client reaches it, with a slash at the end.

        Raises:
            BadRequest: the request names no valid host.
        """
        if self.public_url:
            return self.public_url.rstrip("/") + self.prefix
        host = request.headers.get("X-Forwarded-Host") or request.headers.get("Host", "")
        if not _HOST.fullmatch(host):
            raise BadRequest("the request names no valid host")
        scheme = "https" if request.headers.get("X-Forwarded-Proto") == "https" else "http"
        return f"{scheme}://{host}{self.prefix}"

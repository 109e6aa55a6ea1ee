"""What a browser's session changes has to come from a page of this session, never another site."""

import hmac

from werkzeug.wrappers import Request

from wps_processes.caller import Caller
from wps_processes.errors import NotPermitted
from wps_processes.identity import Identity

HEADER = "X-Form-Token"
"""In which scripts send the token; forms have a field of their own."""


def check_form(request: Request, caller: Caller, identity: Identity) -> None:
    """Return if a request comes from a program with a token, or from a page of its session.

    Raises:
        NotPermitted: neither.
    """
    if caller.by_token:
        return  # no other site can make a browser send the header
    known = identity.form_token(request)
    given = request.headers.get(HEADER) or request.form.get("form_token", "")
    if not hmac.compare_digest(known.encode(), given.encode(errors="replace")):
        raise NotPermitted("this form belongs to another session: open its page again")

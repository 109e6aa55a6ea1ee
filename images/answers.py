"""Fail unless the server in this container answers 200: `python answers.py PORT PATH`.

A path without a slash at its beginning is one below JUPYTERHUB_SERVICE_PREFIX.
"""

import os
import sys
from http.client import HTTPConnection, HTTPException
from urllib.parse import urljoin

port, path = sys.argv[1:]
path = urljoin(os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "/"), path)
connection = HTTPConnection("127.0.0.1", int(port), timeout=20)
try:
    connection.request("GET", path)
    status = connection.getresponse().status
except (OSError, HTTPException) as error:
    sys.exit(f"{path} does not answer: {error}")
sys.exit(None if status == 200 else f"{path} answers {status}")

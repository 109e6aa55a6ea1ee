"""Fail unless the server in this container answers 200: `python answers.py PORT PATH`."""

import sys
from http.client import HTTPConnection

connection = HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
connection.request("GET", sys.argv[2])
status = connection.getresponse().status
sys.exit(None if status == 200 else f"{sys.argv[2]} answers {status}")

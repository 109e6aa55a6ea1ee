"""Makes connections and holds them, as a program: PORT NUMBER KIND. The standard library alone.

Says on standard output when all are made, and ends when its standard input does.
"""

import contextlib
import socket
import sys

_PATH = "/services/wps/"
SENT = {
    "silent": b"",
    "head": f"GET {_PATH} HTTP/1.1\r\nHost: x\r\n".encode(),
    "body": f"POST {_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n<".encode(),
}
"""What each kind of connection says: nothing, half a head, or a head without identity."""

_PATIENCE_SECONDS = 10.0


def main(port: int, number: int, kind: str) -> None:
    """Make so many connections of a kind, and hold those that are made."""
    held = []
    for _ in range(number):
        with contextlib.suppress(OSError):
            held.append(socket.create_connection(("127.0.0.1", port), _PATIENCE_SECONDS))
            held[-1].sendall(SENT[kind])
    print(len(held), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

"""Starts commands for `measure.run` and says what they took; a small process of its own.

Linux counts as a child's peak memory also that of the process it was forked from, and the one
that makes the data is large.
"""

import json
import os
import subprocess
import sys

for line in sys.stdin:
    process = subprocess.Popen(
        json.loads(line),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    errors = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    answer = {
        "status": process.returncode,
        "errors": errors[-2000:],
        "cpu": usage.ru_utime + usage.ru_stime,
        "mib": usage.ru_maxrss / 1024,
    }
    print(json.dumps(answer), flush=True)

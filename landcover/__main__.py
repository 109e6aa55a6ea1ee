"""`python -m landcover` is the `landcover` command."""

import sys

from landcover.cli import main

sys.exit(main())

"""What gradflow survives, detects and refuses, measured at full length: `make torture`.

A module for each family has `measure(fraction)`, which yields a row for each promise as it is
measured. ``docs/reliability.md`` shows the rows of fraction 1; `make test` measures a slice of it.
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads cannot be forked soundly
for name in ("CI", "COLUMNS", "FORCE_COLOR", "GRADFLOW_TRACEBACK"):
    os.environ.pop(name, None)

"""Takes two seconds of work to import, as large frameworks do."""

import time

_end = time.perf_counter() + 2
while time.perf_counter() < _end:
    sum(range(1000))

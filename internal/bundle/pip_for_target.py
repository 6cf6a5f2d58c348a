# Runs pip for another interpreter or machine than its own. pip's --python-version
# and --platform choose the wheels, but markers such as python_version < "3.11" are
# still evaluated for the Python that runs pip; so they are answered for the target.
# The first argument is a JSON object of marker values, the rest are pip's.
import sys  # built in, and so not looked for

sys.path = [entry for entry in sys.path if entry]  # the agent's folder may hold a types.py

import json

target = json.loads(sys.argv[1])

from pip._vendor.packaging import markers

own = markers.default_environment
markers.default_environment = lambda: {**own(), **target}

from pip._internal.cli.main import main

sys.exit(main(sys.argv[2:]))

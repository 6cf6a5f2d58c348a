# Runs in an interpreter of the host, without its site-packages, and tells what
# the server must know to mount it. It only reads.
import json
import os
import platform
import site
import sys
import sysconfig

missing = []
for name in ("ssl", "zlib", "hashlib", "ctypes", "asyncio"):
    try:
        __import__(name)
    except ImportError as error:
        missing.append("%s (%s)" % (name, error))

try:
    libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
except (ValueError, OSError):
    libc = ""

libraries = set()
with open("/proc/self/maps") as maps:
    for line in maps:
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith("/") and ".so" in fields[5]:
            libraries.add(fields[5].strip())

json.dump(
    {
        "implementation": sys.implementation.name,
        "version": "%d.%d.%d" % sys.version_info[:3],
        "final": sys.version_info[3] == "final",
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "prefix": sys.base_prefix,
        "exec_prefix": sys.base_exec_prefix,
        "base_executable": getattr(sys, "_base_executable", sys.executable),
        "stdlib": os.path.dirname(os.__file__),
        "sites": site.getsitepackages([sys.base_prefix, sys.base_exec_prefix]),
        "machine": platform.machine(),
        "libc": libc,
        "libraries": sorted(libraries),
        "missing": missing,
    },
    sys.stdout,
)

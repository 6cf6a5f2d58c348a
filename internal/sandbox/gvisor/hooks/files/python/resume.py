"""What sitecustomize does once a process was saved or resumed.

Nothing is imported that the program has not imported, but for what it takes to
answer: a generator that nobody has loaded has drawn nothing.
"""

import os
import sys

ENGINE = ("192.0.0.1", 1)

# What has a generator of its own that cannot be reseeded from here, and whose
# numbers must be unique. gRPC's BoringSSL is not among them: without a kernel
# that tells it of forks it asks the kernel each time.
UNSAFE = {
    "_awscrt": "the AWS common runtime's TLS",
    "confluent_kafka.cimpl": "librdkafka's TLS",
}


class Unsafe(Exception):
    pass


def told(what, state):
    """Does what a save or a resume asks for, and answers."""
    if what == b"resume\n":
        good, bad, steps = "safe", "unsafe", (check,)
    elif what == b"restore\n":
        good, bad, steps = "restored", "failed", (check, reseed, lambda: take_over(state))
    else:
        return  # the save failed
    try:
        for step in steps:
            step()
    except BaseException as e:  # whatever it is: the engine must hear of it
        return answer(bad, "%s: %s" % (type(e).__name__, e) if not isinstance(e, Unsafe) else str(e))
    answer(good, "")


def check():
    """Finds what cannot be reseeded."""
    for name, what in UNSAFE.items():
        if name in sys.modules:
            raise Unsafe("%s (%s) cannot be reseeded" % (name, what))
    bindings = sys.modules.get("cryptography.hazmat.bindings._rust")
    if bindings is not None and not hasattr(bindings._openssl.lib, "RAND_add"):
        raise Unsafe("cryptography (its OpenSSL) cannot be reseeded")


def reseed():
    """Seeds every generator anew that the program has loaded."""
    modules = sys.modules
    # OpenSSL: Python's own, cryptography's, and those that came with other
    # packages. Each has a primary generator whose reseeding the others notice.
    if "_ssl" in modules:
        modules["_ssl"].RAND_add(os.urandom(32), 32.0)
    bindings = modules.get("cryptography.hazmat.bindings._rust")
    if bindings is not None:
        bindings._openssl.lib.RAND_add(os.urandom(32), 32, 32.0)
    libraries = mapped("libcrypto")
    if len(libraries) > ("_ssl" in modules):
        poll(libraries)
    # The rest is not for secrets, but programs take it for unique.
    if "random" in modules:
        modules["random"].seed()
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None
    if "numpy.random" in modules:
        modules["numpy.random"].seed()
    if "torch" in modules:
        modules["torch"].seed()
    if "ddtrace.internal._rand" in modules:
        modules["ddtrace.internal._rand"].seed()


def mapped(part):
    """Returns the shared libraries in this process whose name begins with part."""
    with open("/proc/self/maps", "rb") as f:
        lines = f.read().splitlines()
    paths = {line[line.index(b"/"):] for line in lines if b"/" + part.encode() in line}
    return sorted(os.fsdecode(p) for p in paths if p.rpartition(b"/")[2].startswith(part.encode()))


def poll(libraries):
    """Has each libcrypto reseed."""
    import ctypes

    for path in libraries:
        library = ctypes.CDLL(path, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
        if library.RAND_poll() != 1:
            raise Unsafe("%s cannot be reseeded" % path)


def take_over(state):
    """Changes of the environment what has changed, and keeps what the program changed itself."""
    with open("/proc/gvisor/spec_environ", "rb") as f:
        text = f.read()
    old, new = parse(state["environ"]), parse(text)
    for name in old:
        if name not in new:
            os.environb.pop(name, None)
    for name, value in new.items():
        if old.get(name) != value:
            os.environb[name] = value
    state["environ"] = text


def parse(environ):
    return dict(e.split(b"=", 1) for e in environ.split(b"\0") if b"=" in e)


def answer(event, reason):
    """Tells the engine, by a socket that nobody has replaced."""
    import _socket

    line = "%s %d %s\n" % (event, os.getpid(), " ".join(reason.split()))
    s = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    try:
        s.settimeout(5)
        s.connect(ENGINE)
        s.send(line.encode("utf-8", "replace")[:255])
    except OSError:
        pass  # nobody waits
    finally:
        s.close()

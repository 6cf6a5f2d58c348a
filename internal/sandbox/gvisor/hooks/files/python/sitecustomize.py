"""Makes a Python process that is resumed from a snapshot unique again.

The sandbox puts this first on PYTHONPATH. It starts a thread that waits for a
save or a resume and leaves the rest to resume.py, then steps aside: what else is
called sitecustomize runs as if this were not there.
"""


def _step_aside(path):
    import sys

    sys.path[:] = [p for p in sys.path if p != path]
    # The import system's own modules: importlib takes time to load.
    import _frozen_importlib
    import _frozen_importlib_external

    spec = _frozen_importlib_external.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = _frozen_importlib.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


def _arm(path):
    import _signal
    import _thread
    import os
    import sys

    # The functions themselves, not where to find them: gevent and others replace
    # what is found there.
    thread, mask, lock = _thread.start_new_thread, _signal.pthread_sigmask, _thread.allocate_lock
    pread, fstat, close, openat = os.pread, os.fstat, os.close, os.open
    if hasattr(_signal, "valid_signals"):
        signals = _signal.valid_signals()
    else:
        signals = set(range(1, 32))

    def reopen():
        state["fd"] = openat("/proc/gvisor/checkpoint", os.O_RDONLY | os.O_CLOEXEC)
        state["rdev"] = fstat(state["fd"]).st_rdev

    def ours():
        try:
            return fstat(state["fd"]).st_rdev == state["rdev"]
        except OSError:
            return False  # the program closed what it does not know

    def work():
        scope = {"__name__": "outcrop_resume"}
        exec(compile(source, path + "/resume.py", "exec"), scope)
        while True:
            if not ours():
                reopen()
            if stopped is not None and not wait():
                stopped.release()
                return
            what = pread(state["fd"], 16, 0)  # ends with a save or a resume
            if ours():
                close(state["fd"])
            reopen()  # before it is answered, so that nothing is missed
            scope["told"](what, state)

    def start():
        # Signals are for the program's threads. Not by threading, which would
        # show this one to the program and wait for it.
        old = mask(_signal.SIG_BLOCK, signals)
        try:
            thread(work, ())
        finally:
            mask(_signal.SIG_SETMASK, old)

    with open(path + "/resume.py", "rb") as f:
        source = f.read()
    with open("/proc/gvisor/spec_environ", "rb") as f:
        state = {"environ": f.read()}
    reopen()

    # Children of a fork have no thread but the one that forked. From 3.12 on
    # Python warns those who fork with more than one: so ours pauses.
    stopped = None
    if sys.version_info < (3, 12):
        os.register_at_fork(after_in_child=start)
    else:
        import select

        poller, readable, pipe, write, read = select.poll, select.POLLIN, os.pipe(), os.write, os.read
        stopped = lock()
        stopped.acquire()

        def wait():
            p = poller()
            p.register(state["fd"], readable)
            p.register(pipe[0], readable)
            for fd, _ in p.poll():
                if fd == pipe[0]:
                    read(pipe[0], 1)
                    return False
            return True

        def pause():
            write(pipe[1], b"x")
            stopped.acquire()

        def child():
            nonlocal pipe
            close(pipe[0])
            close(pipe[1])
            pipe = os.pipe()
            start()

        os.register_at_fork(before=pause, after_in_parent=start, after_in_child=child)
    start()


def _run():
    path = __file__.rpartition("/")[0]
    try:
        _arm(path)
    except Exception:
        pass  # the program runs as without us; the engine misses this process's answers
    _step_aside(path)


_run()

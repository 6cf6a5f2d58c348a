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
    import select
    import sys
    from time import sleep

    # The functions themselves, not where to find them: gevent and others replace
    # what is found there.
    thread, mask, lock = _thread.start_new_thread, _signal.pthread_sigmask, _thread.allocate_lock
    ident = getattr(_thread, "get_native_id", _thread.get_ident)
    poller, readable, invalid = select.poll, select.POLLIN, select.POLLNVAL
    pread, fstat, close, openat, getpid, stat = os.pread, os.fstat, os.close, os.open, os.getpid, os.stat
    if hasattr(_signal, "valid_signals"):
        signals = _signal.valid_signals()
    else:
        signals = set(range(1, 32))

    # Programs close descriptors that they do not know, and reuse the numbers.
    ours = {}

    def own(fd):
        st = fstat(fd)
        ours[fd] = st.st_dev, st.st_ino
        return fd

    def owned(fd):
        try:
            st = fstat(fd)
        except OSError:
            return False
        return ours.get(fd) == (st.st_dev, st.st_ino)

    def disown(fd):
        if owned(fd):
            close(fd)
        ours.pop(fd, None)

    def reopen():
        if "fd" in state:
            disown(state["fd"])
        state["fd"] = own(openat("/proc/gvisor/checkpoint", os.O_RDONLY | os.O_CLOEXEC))

    def load():
        if "told" in scope:
            return
        with open("/proc/gvisor/spec_environ", "rb") as f:
            state["environ"] = f.read()
        with open(path + "/resume.py", "rb") as f:
            code = compile(f.read(), f.name, "exec")
        exec(code, scope)

    def work():
        try:
            state["thread"] = ident()
            while True:
                loaded = "told" in scope
                try:
                    if not owned(state["fd"]):
                        reopen()
                    # Programs that run briefly shall not load what only a save needs.
                    if not wait(None if loaded else 250):
                        stopped.release()
                        return
                    load()
                    if not loaded:
                        continue
                    told = [pread(state["fd"], 16, 0)]
                except OSError:
                    # It was closed under us, which is noticed when a save or a
                    # resume interrupts: which of both it was is not known.
                    told = [b"restore\n", b"resume\n"]
                    load()
                reopen()  # before it is answered, so that nothing is missed
                for what in told:
                    scope["told"](what, state)
        except Exception:
            pass  # as below

    def start():
        # Signals are for the program's threads. Not by threading, which would
        # show this one to the program and wait for it.
        old = mask(_signal.SIG_BLOCK, signals)
        try:
            thread(work, ())
        finally:
            mask(_signal.SIG_SETMASK, old)

    state, scope = {}, {"__name__": "outcrop_resume"}  # what resume.py works with, and itself
    reopen()

    # Children of a fork have no thread but the one that forked. From 3.12 on
    # Python warns those who fork with more than one: so ours pauses. It looks
    # before the parent's hooks run, and from 3.13 on after them.
    stopped = None
    if sys.version_info < (3, 12):

        def wait(milliseconds):
            if milliseconds is not None:  # else pread waits
                p = poller()
                p.register(state["fd"], readable)
                p.poll(milliseconds)
            return True

        os.register_at_fork(after_in_child=start)
    else:
        make_pipe, write, read = os.pipe, os.write, os.read
        stopped = lock()
        stopped.acquire()
        pipe = []

        def renew():
            for fd in pipe:
                disown(fd)
            pipe[:] = [own(fd) for fd in make_pipe()]

        def wait(milliseconds):
            if not all(map(owned, pipe)):
                renew()
            p = poller()
            p.register(state["fd"], readable)
            p.register(pipe[0], readable)
            for fd, event in p.poll(milliseconds):
                if event & invalid:
                    raise OSError
                if fd == pipe[0]:
                    read(fd, 1)
                    return False
            return True

        late = []  # not empty while a function of ours will start it again
        waiting = []  # whether the thread was told to stop

        def before():
            if all(map(owned, pipe)):
                write(pipe[1], b"x")
                stopped.acquire()
                waiting.append(True)
                # It has let go of the lock, and ends at once.
                for _ in range(1000):
                    try:
                        stat("/proc/self/task/%d" % state["thread"])
                    except OSError:
                        break
                    sleep(0.0001)

        def parent():
            if waiting and not late:
                waiting.pop()
                start()

        def child():
            waiting.clear()
            late.clear()
            renew()
            start()

        def wrap(fork):
            def forked():
                here = getpid()
                late.append(True)
                try:
                    return fork()
                finally:
                    if getpid() == here:
                        late.pop()
                        parent()

            forked.__name__ = forked.__qualname__ = fork.__name__
            forked.__doc__ = fork.__doc__
            return forked

        renew()
        os.register_at_fork(before=before, after_in_parent=parent, after_in_child=child)
        if sys.version_info >= (3, 13):
            os.fork, os.forkpty = wrap(os.fork), wrap(os.forkpty)
    start()


def _run():
    path = __file__.rpartition("/")[0]
    try:
        _arm(path)
    except Exception:
        pass  # the program runs as without us; the engine misses this process's answers
    _step_aside(path)


_run()

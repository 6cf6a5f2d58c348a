"""Runs AWS CLI commands for the program aws beside this: python server.py SOCKET."""

import gc
import importlib
import json
import os
import signal
import socket
import struct
import sys
import traceback

import awscli.clidriver

awscli.clidriver.create_clidriver()  # imports what plugins need


def same(pid, uid):
    """Whether a process is this one's user, and sees the same network and files."""
    return uid == os.getuid() and all(os.stat(f"/proc/{pid}/ns/{kind}").st_ino == os.stat(f"/proc/self/ns/{kind}").st_ino for kind in ("net", "mnt"))


def run(conn):
    """Runs the command that a connection tells."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid, uid, _ = struct.unpack("3i", conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if not same(pid, uid):
        return
    size, fds, _, _ = socket.recv_fds(conn, 4, 3)
    with conn.makefile("rb") as told:
        sys.argv, env, cwd = json.loads(told.read(int.from_bytes(size, "big")))
    for to, fd in enumerate(fds):
        os.dup2(fd, to)
        os.close(fd)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    importlib.reload(awscli)  # which adds to the environment where its data is
    try:
        ended = awscli.clidriver.main()
    except SystemExit as e:
        ended = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
        ended = 1
    sys.stdout.flush()
    conn.sendall(bytes([(ended or 0) & 255]))


signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the copies ended
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
gc.freeze()
while True:
    conn, _ = listener.accept()
    if os.fork() == 0:
        listener.close()
        try:
            run(conn)
        finally:
            os._exit(0)
    conn.close()

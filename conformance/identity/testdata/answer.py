"""Runs a command on a terminal and answers what it asks, as a person at it does.

usage: answer.py ANSWERS COMMAND...

ANSWERS is JSON: pairs of a regular expression for the question and what is typed, in order. What
the command says goes to standard output, without the terminal's control sequences. A
question that never comes, or one too many, is an error after a minute of silence.
"""
import json
import os
import pty
import re
import select
import sys

CONTROL = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>78])|\r")
SILENCE = 60  # seconds


def main():
    answers, command = json.loads(sys.argv[1]), sys.argv[2:]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["COLUMNS"] = "400"
        os.execvp(command[0], command)
    said, heard = "", 0
    while True:
        if not select.select([terminal], [], [], SILENCE)[0]:
            print(CONTROL.sub("", said))
            sys.exit("answer.py: the command is silent; not asked: %r" % answers)
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # the terminal's other end is closed
            chunk = b""
        if not chunk:
            break
        said += chunk.decode(errors="replace")
        text = CONTROL.sub("", said)
        if answers and re.search(answers[0][0], text[heard:]):
            heard = len(text)
            os.write(terminal, (answers.pop(0)[1] + "\r").encode())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(CONTROL.sub("", said))
    if answers:
        sys.exit("answer.py: not asked: %r" % answers)
    sys.exit(status)


main()

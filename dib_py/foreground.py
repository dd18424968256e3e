"""Run a program in the foreground of the terminal that is its standard input.

Usage: ``python -m dib_py.foreground PROGRAM ARGUMENT...``

A program of its own because the foreground must be taken by a process inside the program's pid namespace: from outside
of it a shell would not recognise itself as the terminal's foreground group, and would go without job control.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Become a process group, make it the terminal's foreground and be replaced by the program."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a background process is stopped for the next call otherwise
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()

"""Python runs this at start where the folder is on PYTHONPATH: every socket, program and written path is noted.

The lines go to the file named by CRYORESDL_TEST_AUDIT: the event, a tab, and what it was about.
"""

import os
import socket
import sys

NOTED = ("socket.", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "subprocess.", "pty.")
CHANGES = {
    "os.mkdir": 1,
    "os.remove": 1,
    "os.rmdir": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "os.utime": 1,
}
IN_FOLDER = ("os.mkdir", "os.remove", "os.rmdir")
LOG = os.open(os.environ["CRYORESDL_TEST_AUDIT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def place(value):
    """The path that an argument of an event names, or an empty text."""
    return os.path.abspath(os.fsdecode(value)) if isinstance(value, (str, bytes, os.PathLike)) else ""


def note(event, arguments):
    """Write one line for an event that leaves something behind or goes somewhere."""
    found = []
    if event == "socket.__new__" and arguments[1] == socket.AF_UNIX:
        return  # the pipe to a worker process of this program: it reaches nobody else
    if event.startswith(NOTED):
        found = [repr(arguments)]
    elif event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and place(path):
            found = [place(path)]
    elif event in CHANGES:
        found = [place(value) for value in arguments[: CHANGES[event]] if place(value)]
        folder = arguments[-1]  # an open folder that a relative path begins in
        if event in IN_FOLDER and isinstance(folder, int) and folder >= 0:
            found = [os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(arguments[0]))]
    for what in found:
        os.write(LOG, f"{event}\t{what}\n".encode("utf-8", "backslashreplace"))


sys.addaudithook(note)

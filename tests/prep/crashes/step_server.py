"""Runs `fr-prep` in child processes, each with a fault at one of its steps. A process of its own, since it forks.

A step is a call that opens, makes, renames, removes or syncs something in the output folder, or, where `lines` is asked for, a
line of Python that is run here or in what runs the workers. Requests and answers are lines of JSON on stdin and stdout.
"""

import atexit
import ctypes
import faulthandler
import fcntl
import importlib
import json
import os
import resource
import signal
import struct
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path

from fr_prep.cli import main

PRELOADED = ("fr_prep.write.build", "fr_prep.sources.record_sets.record_set", "multiprocessing.synchronize", "numpy.ma")
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir"}
TRACED = (
    "fr_prep",
    "concurrent/futures",
    "multiprocessing",
)  # a trace, unlike a signal, can cut in between a lock and `with`
PR_SET_CHILD_SUBREAPER = 36
EXT4_IOC_SHUTDOWN, WITHOUT_FLUSH = 0x8004587D, 2
HANGS_AFTER_SECONDS = 120


class Steps:
    """Counts the steps of a child, and has the fault happen at the one that is asked for."""

    def __init__(self, request):
        self.request = request
        self.child = os.getpid()
        self.process = self.child
        self.names = []

    def step(self, name):
        if os.getpid() != self.process:  # a worker counts for itself
            self.process, self.names = os.getpid(), []
        if (self.process == self.child) == self.request["in_worker"]:
            return
        self.names.append(name)
        if len(self.names) == self.request["at"]:
            self.fail()

    def fail(self):
        match self.request["fault"]:
            case {"signal": number}:
                os.kill(os.getpid(), number)
            case {"errno": number}:
                raise OSError(number, os.strerror(number))
            case {"power_cut": mount}:
                fcntl.ioctl(os.open(mount, os.O_RDONLY), EXT4_IOC_SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
                os.kill(os.getpid(), signal.SIGKILL)

    def watch_calls(self):
        out, sync = self.request["out"], os.fsync

        def watch(event, arguments):
            if event == "open" and str(arguments[0]).startswith(out):
                self.step(f"open {arguments[0]}")
            elif event in CHANGES and (str(arguments[0]).startswith(out) or arguments[-1] != -1):
                self.step(f"{event} {arguments[0]}")

        def watch_sync(descriptor):
            self.step("sync")
            sync(descriptor)

        os.fsync = watch_sync
        sys.addaudithook(watch)

    def watch_lines(self):
        def trace(frame, event, _):
            if not any(part in frame.f_code.co_filename for part in TRACED):
                return None
            if event in ("line", "return"):
                self.step("line")
            return trace

        sys.settrace(trace)


def run(request, said):
    """Runs the command in this process, and leaves it as the interpreter would."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(said, 1)
    os.dup2(said, 2)
    faulthandler.dump_traceback_later(HANGS_AFTER_SECONDS, exit=True)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"], resource.RLIM_INFINITY))
    steps, code = Steps(request), 0
    steps.watch_lines() if request["lines"] else steps.watch_calls()
    try:
        main(request["arguments"])
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 70
    sys.settrace(None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    Path(request["steps"]).write_text(json.dumps(steps.names))
    try:
        threading._shutdown()
        atexit._run_exitfuncs()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve():
    """Answers with how each child ended, its exit code or the negative number of the signal that killed it, and what it said."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        reading, said = os.pipe()  # never filled: who meets a fault says little
        child = os.fork()
        if not child:
            run(json.loads(line), said)
        os.close(said)
        _, status = os.waitpid(child, 0)
        with suppress(ChildProcessError):
            while True:  # its workers, which are ours now: none may stay
                os.waitpid(-1, 0)
        with os.fdopen(reading) as pipe:
            print(json.dumps([os.waitstatus_to_exitcode(status), pipe.read()]), flush=True)


if __name__ == "__main__":
    serve()

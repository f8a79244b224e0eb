"""`retq` in processes of their own that start at once: forked from one that has imported torch.

The process that is forked has run nothing and read no settings but its own environment: what a
command finds is what it would find in a new process, torch and its like already being in memory.
"""

import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["warm_retq"]

_SHIM = """#!{python} -IS
import json, os, socket, sys
job = {{"arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
message = json.dumps(job).encode()
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    socket.send_fds(line, [len(message).to_bytes(8, "big")], [0, 1, 2])
    line.sendall(message)
    code = line.recv(1)
sys.exit(code[0] if code else "the command died")
"""

_WAIT_S = 120


@contextmanager
def warm_retq() -> Iterator[Path]:
    """Give a folder that holds a command `retq`, to be put on the path."""
    with tempfile.TemporaryDirectory(prefix="retq-") as scratch:
        address = str(Path(scratch) / "line")
        command = [sys.executable, str(Path(__file__).resolve()), address]
        with subprocess.Popen(command) as server:
            try:
                _wait(address, server)
                shim = Path(scratch) / "bin/retq"
                shim.parent.mkdir()
                shim.write_text(_SHIM.format(python=sys.executable, address=address))
                shim.chmod(0o755)
                yield shim.parent
            finally:
                server.terminate()


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _WAIT_S
    while not os.path.exists(address):  # noqa: PTH110 - a socket
        if server.poll() is not None or time.monotonic() > ends:
            raise RuntimeError("the process that is forked did not start")
        time.sleep(0.05)


def _serve(address: str) -> None:
    """Take jobs for ever, each in a process forked for it."""
    import scipy.ndimage
    import scipy.optimize  # noqa: F401
    import torchvision  # noqa: F401

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{address}-")
        server.listen(64)
        os.rename(f"{address}-", address)  # noqa: PTH104 - a socket
        while True:
            line, _ = server.accept()
            if os.fork() == 0:
                server.close()
                _handle(line)
            line.close()
            _reap()


def _reap() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _handle(line: socket.socket) -> None:
    size, files, _, _ = socket.recv_fds(line, 8, 3)
    message = b""
    while len(message) < int.from_bytes(size, "big"):
        message += line.recv(65536)
    job = json.loads(message)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    code = _run(job["arguments"])
    line.sendall(bytes([code]))
    os._exit(code)


def _run(arguments: list[str]) -> int:
    sys.argv = ["retq", *arguments]
    del sys.path[0]
    try:
        runpy.run_module("retq_hub.cli", run_name="__main__", alter_sys=False)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - what Python itself does with it
        sys.excepthook(*sys.exc_info())
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    _serve(sys.argv[1])

"""A line between browser and server that a test can cut: a TCP proxy on 127.0.0.1."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class CutLine:
    """Passes bytes both ways while whole.

    `stall` passes nothing any more and tells nobody, as a radio link that went out of reach; `cut` ends every
    connection, with what was on its way, and refuses new ones; `mend` lets new ones pass again.
    """

    def __init__(self, port: int):
        self._target = ("127.0.0.1", port)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._whole, self._ends = True, set[socket.socket]()
        self._flows = threading.Event()
        self._flows.set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where the browser goes instead of to the server."""
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def stall(self) -> None:
        """From now on, until `cut`."""
        self._flows.clear()

    def cut(self) -> None:
        """Now."""
        with self._lock:
            self._whole = False
            ends, self._ends = self._ends, set()
        for end in ends:
            self._end(end)
        self._flows.set()

    def mend(self) -> None:
        """New connections pass again."""
        with self._lock:
            self._whole = True

    def close(self) -> None:
        """For good."""
        self.cut()
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                with self._lock:
                    whole = self._whole
                if not whole:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(self._target)
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._ends |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                self._flows.wait()
                other.sendall(data)
        for end in (one, other):
            self._end(end)
            with self._lock:
                self._ends.discard(end)

    @staticmethod
    def _end(end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@contextlib.contextmanager
def cut_line(address: str) -> Iterator[CutLine]:
    """A line to the server at `address`."""
    line = CutLine(int(address.rsplit(":", 1)[1]))
    try:
        yield line
    finally:
        line.close()

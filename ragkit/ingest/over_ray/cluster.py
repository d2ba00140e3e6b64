"""Start Ray on this machine for one run, or connect to a cluster; quietly, and with an error soon if there is none."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ragkit.config.ray import Ray
from ragkit.errors import MissingExtra, ServiceError

_REACHED_WITHIN_S = 5.0
_ANSWERS_WITHIN_S = 20
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS = 4
"""The type of the first frame of an HTTP/2 server, which follows the three bytes of its length (RFC 9113, 3.4)."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_QUIET = {
    # Nothing is told to Ray's makers, and what Ray tells its users in their terminal is in its own log files.
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    # A thread that still reads when its run has been ended would start another Ray.
    "RAY_ENABLE_AUTO_CONNECT": "0",
}
_ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray takes 127.0.0.1 for the address that others know this machine by, as it always does where this is off."""

_used: set[bool] = set()
"""Whether this process has used a cluster without an address, with one, or with and without."""


class Cluster:
    """A connection to Ray, with what the cluster had when it was made.

    `node` is this machine's node. A process that is connected to Ray already stays so, also after `close`.
    """

    def __init__(self, ray: Any, *, ours: bool, session: Path | None = None, on_sigterm: Any = None) -> None:
        """`session` is the folder of a Ray that was started for this: of its sockets, logs and spilled objects;
        `on_sigterm` what SIGTERM did before."""
        self.ray = ray
        self._ours = ours
        self._session = session
        self._on_sigterm = on_sigterm
        has = ray.cluster_resources()
        self.cpus = max(1, int(has.get("CPU", 1)))
        self.gpus = int(has.get("GPU", 0))
        self.nodes = sum(1 for node in ray.nodes() if node["Alive"])
        self.node: str = ray.get_runtime_context().get_node_id()

    def close(self) -> None:
        """Let go of the cluster; one that was started for this ends, and its folder goes, but for the logs that a
        ServiceError points to."""
        if not self._ours:
            return
        self.ray.shutdown()
        if self._on_sigterm is not None:
            signal.signal(signal.SIGTERM, self._on_sigterm)
        if self._session is not None and not isinstance(sys.exception(), ServiceError):
            shutil.rmtree(self._session, ignore_errors=True)


def connect(settings: Ray) -> Cluster:
    """The cluster of the config, or Ray on this machine, bound to 127.0.0.1 and with a token that only this run has.

    Raises MissingExtra without Ray, and ServiceError, within half a minute, where no cluster answers, or one of another
    version of Ray or Python.
    """
    address = settings.address
    if address is not None:
        _reach(address)
    _set_up_environment(address)
    try:
        with _unheard():
            import ray
            import ray.data  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise MissingExtra("ray", "ray") from error
    package: Any = ray
    if package.is_initialized():
        return Cluster(package, ours=False)
    _used.add(address is None)
    if len(_used) > 1:
        raise ServiceError(
            "this process has used Ray with and without an address: Ray keeps the settings that it first began with",
            mend="index in another process",
        )
    before = signal.getsignal(signal.SIGTERM) if threading.current_thread() is threading.main_thread() else None
    try:
        with _unheard(), _without_command_line():
            # Without any of the parts that Ray shows to people; `logging_level` is of its Python half.
            context = package.init(
                address=address or "local", log_to_driver=False, logging_level="CRITICAL", **_of_own(address)
            )
    except Exception as error:  # of several libraries; what it says is all that there is to know
        raise _no_cluster(address, error) from error
    finally:
        # Ray's own handler ends in an abort.
        if before is not None:
            signal.signal(signal.SIGTERM, _terminate if before == signal.SIG_DFL else before)
    session = Path(context.address_info["session_dir"]) if address is None else None
    return Cluster(package, ours=True, session=session, on_sigterm=before)


def _of_own(address: str | None) -> dict[str, Any]:
    return {} if address else {"include_dashboard": False}


@contextmanager
def _without_command_line() -> Generator[None]:
    """Ray writes that of the process into a table for all of the cluster, and there may be a key in it (`--set`)."""
    import ray._private.utils

    package: Any = ray._private.utils
    told = getattr(package, "get_entrypoint_name", None)
    package.get_entrypoint_name = lambda: "ragkit"
    try:
        yield
    finally:
        package.get_entrypoint_name = told


def _terminate(number: int, _: object) -> None:
    """Unwind the run as Ctrl-C does, and Ray goes with it."""
    signal.signal(number, signal.SIG_IGN)  # until Ray is gone; who sends it may do so twice
    raise KeyboardInterrupt  # of which Ray's C++ half knows; it aborts on SystemExit


def _reach(address: str) -> None:
    """Raise ServiceError unless what listens there speaks HTTP/2, as Ray does: Ray itself tries for minutes."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_REACHED_WITHIN_S) as connection:
            connection.sendall(_GREETING)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)
        raise ServiceError(
            f"ingestion.ray.address: no Ray cluster is in reach at {address}: {reason}",
            mend="start one (ray start --head), give the address of one, or leave it out to use this machine alone",
            fault="unreachable",
        ) from None
    if len(answer) < 9 or answer[3] != _SETTINGS:
        raise ServiceError(
            f"ingestion.ray.address: what listens at {address} is no Ray cluster",
            mend="give the address that `ray start --head` prints; 8265 is the port of its dashboard",
            fault="unreadable",
        )


def _set_up_environment(address: str | None) -> None:
    """Ray reads it when it is imported, and once only. Raises ServiceError where that has been, and was not so."""
    loopback = address is None or address.rsplit(":", 1)[0].strip("[]") in _LOOPBACK
    if "ray" in sys.modules:
        package: Any = sys.modules["ray"]
        needed = (_ON_LOOPBACK if loopback else {}) | ({} if address else {"RAY_AUTH_MODE": "token"})
        as_needed = all(os.environ.get(name) == value for name, value in needed.items())
        if package and not as_needed and not package.is_initialized():
            settings = " and ".join(f"{name}={value}" for name, value in needed.items())
            raise ServiceError(
                "this program imported ray before it indexed, without what keeps Ray to this machine and its user",
                mend=f"index in another process, or begin the program with {settings}",
            )
        return
    for name, value in (_QUIET | _ON_LOOPBACK if loopback else _QUIET).items():
        os.environ.setdefault(name, value)
    if address is not None:
        os.environ.setdefault("RAY_gcs_server_request_timeout_seconds", str(_ANSWERS_WITHIN_S))
    elif "RAY_AUTH_MODE" not in os.environ:
        # Whoever else may log in here could have Ray run what they like as this user.
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _no_cluster(address: str | None, error: Exception) -> ServiceError:
    said = " ".join(str(error).split())
    if address is None:
        return ServiceError(f"Ray does not start on this machine: {said[:300]}")
    if "ersion mismatch" in said:
        return ServiceError(
            f"the Ray cluster at {address} is of another version: {said[:300]}",
            mend="install the same versions of Ray and Python on all machines",
        )
    return ServiceError(
        f"what listens at {address} does not work as a Ray cluster of which this machine is a node: {said[:300]}",
        mend=f"run here: ray start --address={address}; with tokens, set RAY_AUTH_MODE and RAY_AUTH_TOKEN_PATH",
    )


@contextmanager
def _unheard() -> Generator[None]:
    """Keep what the C++ half of Ray writes to stderr from the terminal, also by the number of its file."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # a process without stderr
        yield
        return
    try:
        with tempfile.TemporaryFile() as nowhere:
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)

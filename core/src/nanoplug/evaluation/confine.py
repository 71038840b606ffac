"""The child side of the sandbox: a script that confines itself and then becomes the command. Standard library only.

`python -I -S confine.py REQUEST`, REQUEST a JSON object:
    command, folder (becomes the working directory), root (an empty folder, or "" for no isolation), writable,
    read_only (further folders to show), wall_s, cpu_s, memory_bytes, processes, file_bytes, scratch_bytes,
    report_fd.
The first line written to report_fd is a JSON object: `{"refused": why}` if isolation cannot be had, `{"failed": why}`
if the command cannot be started, or `{"status": wait status, "timed_out": bool, "seconds": float}`.

With a root the command sees system folders read-only, its folder as /job, a small /tmp in memory and no network,
has no capability, and its processes end with it: it is not process 1 of its process namespace, this script is.
See namespaces(7), user_namespaces(7), pid_namespaces(7), mount(2).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from typing import Any, NoReturn

_SYSTEM_FOLDERS = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix")
_DEVICES = ("null", "zero", "full", "random", "urandom")

_NEW_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000  # CLONE_NEW NS UTS IPC PID NET
_NEW_USER = 0x10000000
_READ_ONLY, _NO_SUID, _NO_DEV, _NO_EXEC, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
# A user namespace may not drop these from a mount that it inherited; statvfs flag to mount flag.
_INHERITED = {4: _NO_DEV, 8: _NO_EXEC, 1024: 1024, 2048: 2048, 4096: 1 << 21}
_NO_NEW_PRIVILEGES = 38
# systemd's range for dynamic users: belongs to nobody, so that the process limit counts this command alone.
_FIRST_UID, _UIDS = 61184, 4336

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    request: dict[str, Any] = json.loads(sys.argv[1])
    os.set_inheritable(request["report_fd"], False)
    drop_to = _FIRST_UID + os.getpid() % _UIDS if os.geteuid() == 0 else None
    try:
        if request["root"]:
            _isolate(request, new_user=drop_to is None)
    except OSError as error:
        _report(request, refused=str(error))
        return
    supervisor = os.fork()
    if supervisor == 0:
        _supervise(request, drop_to)
    os.waitpid(supervisor, 0)


def _isolate(request: dict[str, Any], *, new_user: bool) -> None:
    """New namespaces, and a root file system made of read-only system folders and the command's own."""
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _libc.unshare(_NEW_NAMESPACES | (_NEW_USER if new_user else 0)))
    if new_user:
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(content)
    _mount("none", "/", "", _RECURSIVE | _PRIVATE)
    root = request["root"]
    _mount("none", root, "tmpfs", _NO_SUID | _NO_DEV, "size=1m,mode=755")
    for name in _SYSTEM_FOLDERS:
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            _show(f"/{name}", f"{root}/{name}")
    for path in request["read_only"]:
        _show(path, root + path)
    os.mkdir(f"{root}/dev")
    for name in _DEVICES:
        with open(f"{root}/dev/{name}", "w"):
            pass
        _mount(f"/dev/{name}", f"{root}/dev/{name}", "", _BIND)
    _show(request["folder"], f"{root}/job", writable=request["writable"])
    os.mkdir(f"{root}/tmp")
    _mount(
        "none", f"{root}/tmp", "tmpfs", _NO_SUID | _NO_DEV, f"size={request['scratch_bytes']},mode=1777,nr_inodes=4096"
    )
    _mount("none", root, "", _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_DEV)
    os.chroot(root)
    os.chdir("/job")


def _show(source: str, target: str, *, writable: bool = False) -> None:
    """Bind `source` and what is mounted below it to `target`, read-only unless `writable`."""
    os.makedirs(target, exist_ok=True)
    _mount(source, target, "", _BIND | _RECURSIVE)
    with open("/proc/self/mountinfo") as table:
        points = [os.fsdecode(line.split()[4].encode().decode("unicode_escape").encode("latin-1")) for line in table]
    for point in points:
        if point == target or point.startswith(f"{target}/"):
            kept = os.statvfs(point).f_flag
            flags = sum(flag for seen, flag in _INHERITED.items() if kept & seen)
            flags |= kept & _READ_ONLY if writable else _READ_ONLY
            _mount("none", point, "", _REMOUNT | _BIND | _NO_SUID | flags)


def _supervise(request: dict[str, Any], drop_to: int | None) -> NoReturn:
    """Run the command, report how it ended, and take every process that is left along."""
    begun = time.monotonic()
    command = os.fork()
    if command == 0:
        _become(request, drop_to)
    # SIGALRM needs a handler even though it only interrupts: process 1 of a namespace ignores unhandled signals.
    expired: list[bool] = []

    def on_alarm(*_: object) -> None:
        expired.append(True)
        _end(command, request)

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, request["wall_s"])
    status = -1
    while status < 0:
        pid, ended = os.wait()
        status = ended if pid == command else -1
    signal.setitimer(signal.ITIMER_REAL, 0)
    _end(command, request)
    _report(request, status=status, timed_out=bool(expired), seconds=time.monotonic() - begun)
    os._exit(0)


def _end(command: int, request: dict[str, Any]) -> None:
    """Kill the command and, without a process namespace of its own, its process group."""
    try:
        if request["root"]:
            os.kill(command, signal.SIGKILL)
        else:
            os.killpg(command, signal.SIGKILL)
    except ProcessLookupError:
        pass  # it has ended by itself


def _become(request: dict[str, Any], drop_to: int | None) -> NoReturn:
    """Take on the limits, give up every privilege, and run the command in place of this process."""
    try:
        os.setsid()
        if not request["root"]:
            os.chdir(request["folder"])
        else:
            if drop_to is not None:
                os.setgroups([])
                os.setresgid(drop_to, drop_to, drop_to)
                os.setresuid(drop_to, drop_to, drop_to)
            _call("prctl", _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
            _limit(resource.RLIMIT_NPROC, request["processes"])
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, request["cpu_s"])
        _limit(resource.RLIMIT_FSIZE, request["file_bytes"])
        temporary = "/tmp" if request["root"] else request["folder"]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "HOME": temporary,
            "TMPDIR": temporary,
        }
        # The last limit: from here on this interpreter may be unable to allocate.
        _limit(resource.RLIMIT_AS, request["memory_bytes"])
        os.execvpe(request["command"][0], request["command"], environment)
    except (OSError, ValueError) as error:
        _report(request, failed=f"cannot start {request['command'][0]}: {error}")
    os._exit(127)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    arguments = (source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _call(f"mount {target}", _libc.mount(*arguments))


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _report(request: dict[str, Any], **content: object) -> None:
    os.write(request["report_fd"], json.dumps(content).encode() + b"\n")


if __name__ == "__main__":
    main()

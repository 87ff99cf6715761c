"""Names of our own, which the service alone knows, and which can be forgotten: DNS that breaks, without a DNS server.

The service is started in a mount namespace in which other files lie over ``/etc/hosts`` and ``/etc/nsswitch.conf``, so
that nothing else is asked. It takes root, and a kernel that allows it; where it cannot be had, addresses are numbers.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

COVER = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"'


class Names:
    """Names that lead to this machine."""

    def __init__(self, directory: Path, *names: str) -> None:
        self._hosts = directory / "hosts"
        self._switch = directory / "nsswitch.conf"
        self._names = " ".join(("localhost", *names))
        self._switch.write_text("passwd: files\ngroup: files\nhosts: files\n")
        self.know()
        self.works = shutil.which("unshare") is not None and self._try()

    @property
    def prefix(self) -> tuple[str, ...]:
        """What goes before a command that is to know the names; its process id stays its own."""
        if not self.works:
            return ()
        return self._covered

    def know(self) -> None:
        self._hosts.write_text(f"127.0.0.1 {self._names}\n")

    def forget(self) -> None:
        self._hosts.write_text("127.0.0.1 localhost\n")

    @property
    def _covered(self) -> tuple[str, ...]:
        covered = ("sh", "-c", COVER, str(self._hosts), str(self._switch))
        return ("unshare", "--mount", "--propagation", "private", *covered)

    def _try(self) -> bool:
        return subprocess.run([*self._covered, "true"], capture_output=True, check=False).returncode == 0

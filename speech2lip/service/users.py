"""Who may use the service: tokens, of which only digests are kept, and the folder of each user."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from ..errors import UserError
from ..files import atomic_path
from ..jobs.workspace import Workspace
from ..names import is_plain

_FILE = "users.json"
_PREFIX = "s2l_"  # so that scanners for leaked secrets know one


class Users:
    """The users of one data folder.

    alone: everything belongs to the folder itself, and no token is asked for; otherwise nobody has access but users.
    """

    def __init__(self, data: Path, alone: bool = False):
        self.data, self.alone = data, alone
        self._workspaces: dict[Path, Workspace] = {}

    def add(self, name: str) -> str:
        """A new user's token, which is shown once; UserError for a name that is taken."""
        if not is_plain(name) or name.startswith((".", "-")):
            raise UserError(f"{name!r} cannot be a user's name: give a plain one, such as anna")
        known = self._known()
        if name in known:
            raise UserError(f"there is a user {name} already: remove it first, or give another name")
        token = _PREFIX + secrets.token_urlsafe(32)
        self._write({**known, name: _digest(token)})
        return token

    def remove(self, name: str) -> None:
        """The token is good for nothing from now on; the user's folder stays."""
        known = self._known()
        if name not in known:
            raise UserError(f"there is no user {name}: there are {', '.join(sorted(known)) or 'none'}")
        self._write({other: digest for other, digest in known.items() if other != name})

    def names(self) -> list[str]:
        return sorted(self._known())

    def workspace(self, token: str | None) -> Workspace | None:
        """Of the user with this token; None for a wrong or missing one."""
        if self.alone:
            return self._workspace(self.data)
        digest = _digest(token or "")
        found = [name for name, kept in self._known().items() if hmac.compare_digest(kept, digest)]
        return self._workspace(self.data / "users" / found[0]) if found else None

    def workspaces(self) -> list[Workspace]:
        """Of everybody."""
        if self.alone:
            return [self._workspace(self.data)]
        return [self._workspace(self.data / "users" / name) for name in self.names()]

    def _workspace(self, root: Path) -> Workspace:
        if root not in self._workspaces:
            root.mkdir(parents=True, exist_ok=True)
            self._workspaces[root] = Workspace(root)
        return self._workspaces[root]

    def _known(self) -> dict[str, str]:
        file = self.data / _FILE
        if not file.is_file():
            return {}
        try:
            known = json.loads(file.read_text("utf-8"))
            if not isinstance(known, dict) or not all(isinstance(v, str) for v in known.values()):
                raise ValueError("no table of users")
        except (OSError, ValueError) as error:
            raise UserError(
                f"{file} cannot be read ({error}): mend it, or move it away and add the users anew"
            ) from error
        return known

    def _write(self, known: dict[str, str]) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.data / _FILE) as path:
            path.write_text(json.dumps(known, indent=1), "utf-8")
        (self.data / _FILE).chmod(0o600)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()

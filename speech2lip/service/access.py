"""Whose workspace a request is about."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ..errors import UserError
from ..jobs.workspace import Workspace
from .users import Users


class NoAccess(UserError):
    """A wrong or missing token."""


def _workspace(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
) -> Workspace:
    users: Users = request.app.state.users
    found = users.workspace(given.credentials if given is not None else None)
    if found is None:
        raise NoAccess("this needs a token: send the header `Authorization: Bearer TOKEN`")
    return found


Mine = Annotated[Workspace, Depends(_workspace)]

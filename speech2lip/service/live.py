"""Conversations over HTTP: who talks with whom, how many at once, and the page that does it in a browser."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from ..errors import UserError
from ..extras import needs
from ..jobs.workspace import Workspace
from .access import Mine
from .schema import Answer, ConversationState, NewConversation, Problem

if TYPE_CHECKING:
    from .peer import Peer

_PAGES = Path(__file__).with_name("pages")
_GUARD = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src 'self' blob: mediastream:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=()", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache",
}  # fmt: skip


class UnknownConversation(UserError):
    """There is no such conversation, or it is over."""


class TooMany(UserError):
    """As many conversations as this machine can follow."""


class Conversations:
    """Those that go on, of all users: one for every two cores, as each paints on one and sends on another."""

    def __init__(self, media: str | None, most: int | None = None):
        """media: address of this machine that they come through, None: any."""
        self._media, self._most = media, most or max(1, (os.cpu_count() or 1) // 2)
        self._peers: dict[str, tuple[Path, Peer]] = {}
        self._opening = 0

    async def begin(self, new: NewConversation, mine: Workspace) -> Answer:
        needs("live", "aiortc", "espeakng_loader")
        from .peer import open_peer

        person = mine.places.known(new.name)
        if not person.model.is_file():
            raise UserError(f"{new.name} has no model yet: order a job that trains it, and wait for its end")
        if len(self._peers) + self._opening >= self._most:
            raise TooMany(
                f"{self._most} conversations go on, which is as many as this machine follows: end one, or wait until one is over"
            )
        self._opening += 1
        try:
            peer = await open_peer(new, person.model, person.folder, self._media, self._forget)
        finally:
            self._opening -= 1
        identity = secrets.token_hex(8)
        self._peers[identity] = mine.root, peer
        width, height = peer.size
        return Answer(id=identity, sdp=peer.answer, fps=peer.fps, width=width, height=height)

    def all(self, mine: Workspace) -> list[ConversationState]:
        return [peer.state(identity) for identity, (root, peer) in self._peers.items() if root == mine.root]

    def get(self, identity: str, mine: Workspace) -> Peer:
        root, peer = self._peers.get(identity, (None, None))
        if peer is None or root != mine.root:
            raise UnknownConversation(
                f"there is no conversation {identity!r}, or it is over: those that go on are listed under /v1/live"
            )
        return peer

    async def close(self) -> None:
        """End all."""
        await asyncio.gather(*(peer.close() for _, peer in list(self._peers.values())))

    def _forget(self, over: Peer) -> None:
        self._peers = {identity: kept for identity, kept in self._peers.items() if kept[1] is not over}


live_routes = APIRouter(prefix="/v1/live", responses={code: {"model": Problem} for code in (401, 404, 409, 422)})
page_routes = APIRouter(prefix="/live", include_in_schema=False)


def _conversations(request: Request) -> Conversations:
    found: Conversations = request.app.state.conversations
    return found


@live_routes.post("", status_code=201, summary="Begin a conversation: a WebRTC offer, and the answer")
async def begin_conversation(new: NewConversation, mine: Mine, request: Request) -> Answer:
    """Sound that the peer sends is said by the person; pictures and sound come back. A data channel takes JSON: `{"say": "text"}` is
    spoken by the built-in voice, `{"interrupt": true}` ends what is being said. The conversation is over when the peer leaves."""
    return await _conversations(request).begin(new, mine)


@live_routes.get("", summary="Conversations that go on")
async def list_conversations(mine: Mine, request: Request) -> list[ConversationState]:
    return _conversations(request).all(mine)


@live_routes.get("/{identity}", summary="One conversation: how it keeps up")
async def get_conversation(identity: str, mine: Mine, request: Request) -> ConversationState:
    return _conversations(request).get(identity, mine).state(identity)


@live_routes.delete("/{identity}", status_code=204, summary="End a conversation")
async def end_conversation(identity: str, mine: Mine, request: Request) -> None:
    await _conversations(request).get(identity, mine).close()


def _page(name: str, kind: str) -> FileResponse:
    return FileResponse(_PAGES / name, media_type=kind, headers=_GUARD)


@page_routes.get("")
async def page() -> FileResponse:
    return _page("live.html", "text/html")


@page_routes.get("/live.js")
async def script() -> FileResponse:
    return _page("live.js", "text/javascript")


@page_routes.get("/live.css")
async def style() -> FileResponse:
    return _page("live.css", "text/css")

"""Conversations: WebRTC with aiortc on both ends, on the loopback alone."""

from __future__ import annotations

import asyncio
import json
import re
import time
from contextlib import closing, contextmanager
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from standin_face import standin_session

pytest.importorskip("fastapi")
pytest.importorskip("aiortc")
pytest.importorskip("httpx")

import httpx
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler
from fastapi.testclient import TestClient

from speech2lip.errors import UserError
from speech2lip.library.places import Places
from speech2lip.media.sound import SAMPLE_RATE
from speech2lip.service import live, peer
from speech2lip.service.app import make_app
from speech2lip.service.users import Users

RATE, PACKET = 48_000, 960
SIZE = (64, 48)


class Microphone(MediaStreamTrack):
    """A tone between two moments of its time, in seconds; otherwise faint noise. As a microphone: 20 ms at a time."""

    kind = "audio"

    def __init__(self, wav: np.ndarray | None = None, begin: float = 1.0, end: float = 2.0):
        super().__init__()
        self.wav, self.spans, self.sent, self.began = wav, (begin, end), 0, 0.0
        self.heard_at: float | None = None  # when the tone's first packet left

    async def recv(self) -> AudioFrame:
        if self.readyState != "live":
            raise MediaStreamError
        now = time.monotonic()
        self.began = self.began or now
        await asyncio.sleep(max(0.0, self.began + self.sent / RATE - now))
        at = (self.sent + np.arange(PACKET)) / RATE
        inside = (at >= self.spans[0]) & (at < self.spans[1])
        if self.wav is not None:
            wave = np.interp((at - self.spans[0]) * SAMPLE_RATE, np.arange(len(self.wav)), self.wav, 0, 0)
        else:
            wave = 0.5 * np.sin(2 * np.pi * 440 * at)
        if inside.any() and self.heard_at is None:
            self.heard_at = time.monotonic()
        frame = AudioFrame.from_ndarray((32767 * np.where(inside, wave, 0)).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.sent, Fraction(1, RATE)
        self.sent += PACKET
        return frame


class Visitor:
    """A peer that keeps what it gets: pictures' mean brightness and sound, with times of the media and of arrival."""

    def __init__(self, microphone: MediaStreamTrack | None = None):
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pictures: list[tuple[float, float, float]] = []  # media seconds, arrival, brightness
        self.sounds: list[tuple[float, float, np.ndarray]] = []
        self.said: list[dict] = []
        self.tasks: list[asyncio.Future] = []
        if microphone is not None:
            self.connection.addTrack(microphone)
        else:
            self.connection.addTransceiver("audio", "recvonly")
        self.connection.addTransceiver("video", "recvonly")
        self.channel = self.connection.createDataChannel("speech2lip")
        self.channel.on("message", lambda text: self.said.append(json.loads(text)))
        self.connection.on("track", lambda track: self.tasks.append(asyncio.ensure_future(self._keep(track))))

    async def _keep(self, track: MediaStreamTrack) -> None:
        resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
        try:
            while True:
                frame = await track.recv()
                at, now = float(frame.pts * frame.time_base), time.monotonic()
                if track.kind == "video":
                    self.pictures.append((at, now, float(frame.to_ndarray(format="gray").mean())))
                else:
                    for part in resampler.resample(frame):
                        self.sounds.append((at, now, part.to_ndarray()[0].astype(np.float32) / 32768))
        except MediaStreamError:
            pass

    async def call(self, client, name: str = "anna", **more) -> dict:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        reply = await client.post("/v1/live", json={"name": name, "sdp": self.connection.localDescription.sdp, **more})
        assert reply.status_code == 201, reply.text
        answer = reply.json()
        await self.connection.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await until(lambda: self.channel.readyState == "open" and self.pictures and self.sounds)
        return answer

    def wish(self, **said) -> None:
        self.channel.send(json.dumps(said))

    async def leave(self) -> None:
        await self.connection.close()
        for task in self.tasks:
            await task

    def loud(self) -> np.ndarray:
        """Media seconds at which sound is heard, at 50 per second."""
        return np.array([at for at, _, wav in self.sounds if len(wav) and np.abs(wav).max() > 0.1])

    def bright(self) -> np.ndarray:
        """Media seconds of pictures whose mouth is its own."""
        return np.array([at for at, _, light in self.pictures if light > 128])


async def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def loopback(monkeypatch):
    import aioice.ice

    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.fixture
def service(tmp_path, monkeypatch, loopback):
    """The application, in which everybody is a stand-in; sessions that were opened."""
    opened: list = []

    @contextmanager
    def open_standin(*_, **__):
        with closing(standin_session(25.0, SIZE)) as session:
            opened.append(session)
            yield session

    (tmp_path / "model.pt").touch()
    monkeypatch.setattr(peer, "open_session", open_standin)
    monkeypatch.setattr(Places, "known", lambda *_: SimpleNamespace(model=tmp_path / "model.pt", folder=tmp_path))
    return make_app(Users(tmp_path, alone=True)), opened


def _client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1:7860")


@pytest.fixture
def sent(monkeypatch):
    """Media seconds at which the mouth is its own in pictures, and at which sound is loud, as the service sends them. What arrives counts
    from each track's own first packet, so the two cannot be compared there."""
    bright, loud, real = [], [], peer.Peer._send

    def send(self, picture, sound):
        bright.extend([float(picture.pts * picture.time_base)] * (picture.to_ndarray(format="gray").mean() > 128))
        loud.extend(float(p.pts * p.time_base) for p in sound if np.abs(p.to_ndarray()).max() > 0.1 * 32768)
        real(self, picture, sound)

    monkeypatch.setattr(peer.Peer, "_send", send)
    return bright, loud


def test_a_microphone_comes_back_as_face_and_voice_in_sync(service, sent):
    app, opened = service

    async def talk() -> None:
        async with _client(app) as client:
            microphone = Microphone(end=6.0)  # a busy machine leaves some of it out, as it must not be late
            visitor = Visitor(microphone)
            answer = await visitor.call(client)
            assert (answer["fps"], answer["width"], answer["height"]) == (25.0, *SIZE)
            await until(lambda: len(visitor.loud()) > 40)
            (state,) = (await client.get("/v1/live")).json()
            assert state["id"] == answer["id"] and state["connection"] == "connected" and state["frames"] > 25
            times = [at for at, _, _ in visitor.pictures]
            assert np.allclose(np.diff(times), 1 / 25, atol=0.002), "frames come at the rate"
            first = visitor.loud()[0]
            assert abs(sent[0][0] - sent[1][0]) < 0.1, "sound and picture are in step"
            assert len(visitor.bright()) > 10, "and both arrive"
            arrived = next(now for at, now, _ in visitor.sounds if at >= first)
            assert arrived - microphone.heard_at < 1.5
            await visitor.leave()
            await until(lambda: app.state.conversations.all(SimpleNamespace(root=app.state.users.data)) == [])
            assert opened[0]._painter.closed, "the session ends with the peer"

    asyncio.run(talk())


def test_typed_text_is_said_and_can_be_interrupted(service, monkeypatch):
    app, _ = service
    tone = (0.5 * np.sin(np.arange(20 * SAMPLE_RATE) * 0.2)).astype(np.float32)

    def spoken(text, voice, origin):
        if text == "??":
            raise UserError(f"{origin}: '??' holds nothing that is spoken: write words")
        return tone

    monkeypatch.setattr(peer, "speech_of", spoken)

    async def talk() -> None:
        async with _client(app) as client:
            visitor = Visitor()
            answer = await visitor.call(client)
            visitor.wish(say="twenty seconds of words")
            await until(lambda: len(visitor.loud()) > 20)
            assert {"saying": "twenty seconds of words", "seconds": 20.0} in visitor.said
            visitor.wish(interrupt=True)
            await until(lambda: any("interrupted" in said for said in visitor.said))
            assert next(said["interrupted"] for said in visitor.said if "interrupted" in said) > 15
            await asyncio.sleep(1.0)
            last, count = visitor.loud()[-1], len(visitor.loud())
            await until(lambda: visitor.pictures[-1][0] > last + 0.8)
            assert len(visitor.loud()) == count, "nothing more is heard"
            after = [light for at, _, light in visitor.pictures if at > last + 0.24]
            assert max(after) < 64, "the mouth is at rest, and pictures go on"
            for wrong in ("[]", "{", "{}", '{"say": "??"}'):
                visitor.channel.send(wrong)
            await until(lambda: sum("error" in said for said in visitor.said) == 4)
            await until(lambda: any("latency" in said for said in visitor.said))
            assert (await client.delete(f"/v1/live/{answer['id']}")).status_code == 204
            assert (await client.get(f"/v1/live/{answer['id']}")).status_code == 404
            await visitor.leave()

    asyncio.run(talk())


def test_only_so_many_talk_at_once_and_all_end_with_the_service(service, monkeypatch):
    app, opened = service
    app.state.conversations._most = 1

    async def talk() -> None:
        async with _client(app) as client:
            visitor, other = Visitor(), Visitor()
            await visitor.call(client)
            await other.connection.setLocalDescription(await other.connection.createOffer())
            offer = {"name": "anna", "sdp": other.connection.localDescription.sdp}
            refused = await client.post("/v1/live", json=offer)
            assert refused.status_code == 409 and "1 conversations go on" in refused.json()["error"]
            await app.state.conversations.close()
            assert opened[0]._painter.closed
            await visitor.leave()
            await other.leave()

    asyncio.run(talk())


def test_a_peer_that_never_comes_is_given_up_and_an_error_of_the_painter_is_told(service, monkeypatch):
    app, opened = service
    monkeypatch.setattr(peer, "_PATIENCE", 0.3)

    async def talk() -> None:
        async with _client(app) as client:
            absent = RTCPeerConnection(RTCConfiguration(iceServers=[]))
            absent.addTransceiver("audio", "recvonly")
            absent.addTransceiver("video", "recvonly")
            await absent.setLocalDescription(await absent.createOffer())
            offer = {"name": "anna", "sdp": absent.localDescription.sdp}
            await absent.close()
            assert (await client.post("/v1/live", json=offer)).status_code == 201
            await until(lambda: opened[0]._painter.closed)
            monkeypatch.setattr(peer, "_PATIENCE", 30.0)
            visitor = Visitor()
            await visitor.call(client)

            def broken(_):
                raise UserError("colours that are no numbers")

            opened[1]._painter.paint = broken
            await until(lambda: any("no numbers" in said.get("error", "") for said in visitor.said))
            await visitor.leave()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("sdp", "said"), [("v=0\r\nm=video x\r\n", "offer cannot be read"), ("v=0\r\n", "for sound and for pictures")]
)
def test_offers_that_cannot_be_used_are_refused_in_a_sentence(service, sdp, said):
    app, opened = service
    with TestClient(app, base_url="http://127.0.0.1:7860") as client:
        reply = client.post("/v1/live", json={"name": "anna", "sdp": sdp})
        assert reply.status_code == 422 and said in reply.json()["error"], reply.text
        assert opened[0]._painter.closed and client.get("/v1/live").json() == []


def test_people_that_are_not_there_or_not_trained_are_refused(tmp_path):
    client = TestClient(make_app(Users(tmp_path, alone=True)), base_url="http://127.0.0.1:7860")
    reply = client.post("/v1/live", json={"name": "nobody", "sdp": "v=0"})
    assert reply.status_code == 422 and "no subject" in reply.json()["error"]


def test_conversations_of_others_are_not_seen(tmp_path):
    kept = live.Conversations("127.0.0.1")
    kept._peers["a"] = tmp_path / "anna", SimpleNamespace(state=lambda identity: identity)
    anna, bob = (SimpleNamespace(root=tmp_path / name) for name in ("anna", "bob"))
    assert kept.all(anna) == ["a"] and kept.all(bob) == []
    with pytest.raises(live.UnknownConversation):
        kept.get("a", bob)


def test_media_come_through_the_address_that_is_listened_at():
    from speech2lip.service.server import _media_address

    assert _media_address("127.0.0.1") == _media_address("localhost") == "127.0.0.1"
    assert (
        _media_address("0.0.0.0") is None and _media_address("::") is None and _media_address("10.1.2.3") == "10.1.2.3"
    )


def test_pictures_that_are_sent_are_even_and_not_too_large():
    assert peer.sent_size((361, 289)) == (360, 288) and peer.sent_size((1920, 1080)) == (1280, 720)
    frame = peer.video_frame(np.zeros((289, 361, 3), np.uint8), (360, 288))
    assert (frame.width, frame.height, frame.format.name) == (360, 288, "yuv420p")
    large = peer.video_frame(np.full((1080, 1920, 3), 200, np.uint8), (1280, 720))
    assert (large.width, large.height) == (1280, 720)


def test_the_page_asks_nobody_else_and_every_field_has_a_label(tmp_path):
    client = TestClient(make_app(Users(tmp_path, alone=True)), base_url="http://127.0.0.1:7860")
    whole = ""
    for path, kind in (("/live", "text/html"), ("/live/live.js", "text/javascript"), ("/live/live.css", "text/css")):
        reply = client.get(path)
        assert reply.status_code == 200 and reply.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        whole += reply.text
    assert not re.search(r"https?://|//[a-z]+\.", whole), "nothing from elsewhere"
    page = client.get("/live").text
    for field in re.findall(r"<(?:input|select|textarea)[^>]*>", page):
        named = re.search(r'id="(\w+)"', field)
        assert "radio" in field or f'<label for="{named[1]}">' in page, field
    assert "width=device-width" in page and page.count("<label class=") == page.count('type="radio"') == 2
    for name in set(re.findall(r'part\("(\w+)"\)', whole)):
        assert f'id="{name}"' in page, name


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_trained_person_talks(model_path, subject_config, clip, monkeypatch, loopback, tmp_path, capsys):
    """Real networks: what is said comes back whole, with pictures at the clip's rate, however slow the machine is."""
    from speech2lip.media.sound import load_audio

    person = SimpleNamespace(model=model_path, folder=Path(subject_config.data.root))
    monkeypatch.setattr(Places, "known", lambda *_: person)
    app = make_app(Users(tmp_path, alone=True))
    wav = load_audio(clip / "speaker.wav")[: 6 * SAMPLE_RATE]
    monkeypatch.setattr(peer, "speech_of", lambda *_: wav)

    async def talk() -> None:
        async with _client(app) as client:
            visitor = Visitor()
            await visitor.call(client)
            visitor.wish(say="these words")
            await until(lambda: visitor.sounds[-1][0] > 8.0, 300.0)
            (state,) = (await client.get("/v1/live")).json()
            heard = np.concatenate([wav for _, _, wav in visitor.sounds])
            lag = (
                np.argmax(np.correlate(heard[: 7 * SAMPLE_RATE : 4], wav[: 4 * SAMPLE_RATE : 4], "valid"))
                * 4
                / SAMPLE_RATE
            )
            with capsys.disabled():
                print(
                    f"\n{state['frames']} frames, latency {1000 * state['latency']:.0f} ms (95 % within {1000 * state['latency95']:.0f} ms), "
                    f"paused {state['paused']:.2f} s, busy {state['busy']:.0%}"
                )
            at = round(lag * SAMPLE_RATE)
            assert np.corrcoef(heard[at : at + 4 * SAMPLE_RATE], wav[: 4 * SAMPLE_RATE])[0, 1] > 0.7
            assert np.allclose(np.diff([at for at, _, _ in visitor.pictures]), 0.04, atol=0.002)
            assert state["frames"] > 150 and state["latency"] > 0.1
            await visitor.leave()
            await until(lambda: app.state.conversations.all(SimpleNamespace(root=tmp_path)) == [])

    asyncio.run(talk())

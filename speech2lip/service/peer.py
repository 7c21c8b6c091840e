"""One conversation over WebRTC: a microphone or typed text in, the person's face and voice out."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import aioice.ice
import cv2
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler, VideoFrame

from ..errors import UserError
from ..live.performance import Performance
from ..live.session import Shown, open_session
from ..media.sound import SAMPLE_RATE
from ..voice.synthesis import speech_of
from .schema import ConversationState, NewConversation

_PATIENCE = 30.0  # seconds in which a peer that was answered must come
_PACKET = SAMPLE_RATE // 50  # samples that are sent at once: 20 ms, as Opus packets are
_KEPT = 1.0  # seconds of frames that wait for a peer that does not take them
_LARGEST = 1280  # pixels of a frame's longer side: a processor cannot encode more at this rate
_TICK = 1.0  # seconds between two reports on the data channel
_LONGEST_MESSAGE = 20_000  # characters on the data channel
_VIDEO_CLOCK = 90_000


class _Track(MediaStreamTrack):  # type: ignore[misc]
    """Frames in their order, as they are put; the oldest are dropped where nobody takes them."""

    def __init__(self, kind: str, most: int):
        super().__init__()
        self.kind = kind
        self._ready: deque[VideoFrame | AudioFrame] = deque(maxlen=most)
        self._filled = asyncio.Event()

    def put(self, frame: VideoFrame | AudioFrame) -> None:
        self._ready.append(frame)
        self._filled.set()

    async def recv(self) -> VideoFrame | AudioFrame:
        while not self._ready:
            if self.readyState != "live":
                raise MediaStreamError
            self._filled.clear()
            await self._filled.wait()
        return self._ready.popleft()

    def stop(self) -> None:
        super().stop()
        self._filled.set()


class _Packets:
    """Sound of frames, cut into packets of equal length."""

    def __init__(self) -> None:
        self._rest, self._sent = np.zeros(0, np.int16), 0

    def cut(self, sound: np.ndarray) -> list[AudioFrame]:
        """float32 [N], 16 kHz -> packets of 20 ms."""
        samples = np.concatenate([self._rest, (np.clip(sound, -1, 1) * 32767).astype(np.int16)])
        whole = len(samples) // _PACKET * _PACKET
        self._rest = samples[whole:]
        return [self._packet(part) for part in samples[:whole].reshape(-1, _PACKET)]

    def _packet(self, samples: np.ndarray) -> AudioFrame:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "s16", "mono")
        frame.sample_rate, frame.time_base, frame.pts = SAMPLE_RATE, Fraction(1, SAMPLE_RATE), self._sent
        self._sent += len(samples)
        return frame


class Peer:
    """A conversation with one peer. Its methods are called in the event loop."""

    def __init__(self, name: str, voice: str, performance: Performance, over: Callable[[Peer], None]):
        self.name, self.answer, self.message = name, "", ""
        self.fps = performance.session.fps
        self.size = sent_size(performance.session.size)
        self._voice, self._performance, self._over = voice, performance, over
        self._loop = asyncio.get_running_loop()
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[])
        )  # the default asks a server in the internet
        self._video, self._audio = _Track("video", round(_KEPT * self.fps)), _Track("audio", round(_KEPT * 50))
        self._packets = _Packets()
        self._channels: list[RTCDataChannel] = []
        self._texts: asyncio.Queue[tuple[int, str]] = asyncio.Queue(20)
        self._interruptions = 0
        self._begun = self._closed = False
        self._tasks = [asyncio.ensure_future(task) for task in (self._speak(), self._report(), self._give_up())]

    async def accept(self, sdp: str) -> None:
        """Take an offer; `answer` is then what the peer needs. UserError for an offer that cannot be used."""
        connection = self._connection
        connection.on("connectionstatechange", self._changed)
        connection.on("track", self._listen)
        connection.on("datachannel", self._attend)
        try:
            await connection.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        except Exception as error:  # the parser raises whatever goes wrong in it
            raise UserError(
                f"the WebRTC offer cannot be read ({error or type(error).__name__}): send the SDP of an offer"
            ) from error
        if {transceiver.kind for transceiver in connection.getTransceivers()} != {"audio", "video"}:
            raise UserError("the WebRTC offer must ask for sound and for pictures: add a transceiver of each kind")
        connection.addTrack(self._audio)
        connection.addTrack(self._video)
        try:
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:
            raise UserError(
                f"the WebRTC offer cannot be answered ({error or type(error).__name__}): offer Opus and VP8 or H.264"
            ) from error
        self.answer = connection.localDescription.sdp

    def state(self, identity: str) -> ConversationState:
        connection, pace = self._connection.connectionState, asdict(self._performance.pace)
        return ConversationState(id=identity, name=self.name, connection=connection, message=self.message, **pace)

    async def close(self) -> None:
        """End the conversation, once."""
        if self._closed:
            return
        self._closed = True
        self._over(self)
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        await asyncio.to_thread(self._performance.end)
        for track in (self._video, self._audio):
            track.stop()
        await self._connection.close()

    # ------------------------------------------------------------ what comes

    async def _changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and not self._begun:
            self._begun = True
            self._performance.begin()
        elif state in ("failed", "closed"):
            await self.close()

    def _listen(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._tasks.append(asyncio.ensure_future(self._hear(track)))

    async def _hear(self, track: MediaStreamTrack) -> None:
        resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
        with suppress(MediaStreamError):
            while True:
                for frame in resampler.resample(await track.recv()):
                    self._performance.session.hear(frame.to_ndarray()[0])

    def _attend(self, channel: RTCDataChannel) -> None:
        self._channels.append(channel)
        channel.on("message", lambda message: self._obey(channel, message))

    def _obey(self, channel: RTCDataChannel, message: str | bytes) -> None:
        try:
            wish = _wish(message)
            if wish.get("interrupt") is True:
                self._interruptions += 1
                left = self._performance.session.interrupt()
                self._tell(channel, {"interrupted": left})
            text = wish.get("say")
            if isinstance(text, str) and text.strip():
                self._texts.put_nowait((self._interruptions, text))
        except UserError as error:
            self._tell(channel, {"error": str(error)})
        except asyncio.QueueFull:
            self._tell(channel, {"error": "20 texts wait to be spoken, which is the most: wait, or interrupt"})

    async def _speak(self) -> None:
        """Speak texts in their order; what was interrupted meanwhile is not said."""
        while True:
            asked, text = await self._texts.get()
            if asked != self._interruptions:
                continue
            try:
                wav = await asyncio.to_thread(speech_of, text, self._voice, "typed text")
                if asked == self._interruptions:
                    self._performance.session.say(wav)
                    self._tell_all({"saying": text, "seconds": len(wav) / SAMPLE_RATE})
            except UserError as error:
                self._tell_all({"error": str(error)})

    async def _give_up(self) -> None:
        await asyncio.sleep(_PATIENCE)
        if not self._begun:
            await self.close()

    # ------------------------------------------------------------ what goes

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            pace = self._performance.pace
            self._tell_all(
                {"frames": pace.frames, "latency": pace.latency, "latency95": pace.latency95, "waiting": pace.waiting}
            )

    def show(self, shown: Shown) -> None:
        """Called in the thread that paints."""
        frame = video_frame(shown.image, self.size)
        frame.pts, frame.time_base = round(shown.number / self.fps * _VIDEO_CLOCK), Fraction(1, _VIDEO_CLOCK)
        self._loop.call_soon_threadsafe(self._send, frame, self._packets.cut(shown.sound))

    def _send(self, picture: VideoFrame, sound: list[AudioFrame]) -> None:
        self._video.put(picture)
        for packet in sound:
            self._audio.put(packet)

    def stopped(self, error: BaseException | None) -> None:
        """Called in the thread that paints, when it ends."""
        if error is not None:
            self.message = str(error) or type(error).__name__
            with suppress(RuntimeError):  # the service has ended, and nobody is there to be told
                self._loop.call_soon_threadsafe(self._fail)

    def _fail(self) -> None:
        self._tell_all({"error": self.message})
        self._tasks.append(asyncio.ensure_future(self.close()))

    def _tell_all(self, said: dict[str, Any]) -> None:
        for channel in self._channels:
            self._tell(channel, said)

    @staticmethod
    def _tell(channel: RTCDataChannel, said: dict[str, Any]) -> None:
        if channel.readyState == "open":
            channel.send(json.dumps(said))


def _wish(message: str | bytes) -> dict[str, Any]:
    """What a peer asks for on the data channel."""
    try:
        wish = json.loads(message) if len(message) <= _LONGEST_MESSAGE else None
    except ValueError:
        wish = None
    if not isinstance(wish, dict) or not ("say" in wish or "interrupt" in wish):
        raise UserError('a message is JSON of at most 20000 characters: {"say": "text"} or {"interrupt": true}')
    return wish


def sent_size(size: tuple[int, int]) -> tuple[int, int]:
    """Of pictures that are sent, for frames of `size` (width, height): even, and no larger than can be encoded in time."""
    scale = min(1.0, _LARGEST / max(size))
    width, height = (max(round(side * scale) // 2 * 2, 2) for side in size)
    return width, height


def video_frame(image: np.ndarray, size: tuple[int, int]) -> VideoFrame:
    """RGB uint8 [H, W, 3] as YUV 4:2:0 of `size`."""
    if image.shape[1] - size[0] > 1 or image.shape[0] - size[1] > 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    even = np.ascontiguousarray(image[: size[1], : size[0]])
    return VideoFrame.from_ndarray(even, "rgb24").reformat(format="yuv420p")


async def open_peer(
    new: NewConversation, model: Path, root: Path, media: str | None, over: Callable[[Peer], None]
) -> Peer:
    """A conversation that was answered. media: address of this machine that it comes through, None: any; over: called when it
    has ended. UserError for models and offers that cannot be used."""
    _listen_at(media)
    settings = {"render.label": new.label}
    found: list[Peer] = []  # the peer needs the performance, and the performance is told the peer's methods
    opened = open_session(model, root, first=new.start, settings=settings)
    performance = await asyncio.to_thread(
        Performance, opened, lambda shown: found[0].show(shown), lambda error: found[0].stopped(error)
    )
    found.append(Peer(new.name, new.voice, performance, over))
    try:
        await found[0].accept(new.sdp)
    except BaseException:
        await found[0].close()
        raise
    return found[0]


def _listen_at(media: str | None) -> None:
    """Which addresses of this machine WebRTC uses. By itself it takes all but the loopback's: a service for this machine alone
    would be open to its neighbours, and could not be used without a network."""
    if media is not None:
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [media]

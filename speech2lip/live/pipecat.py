"""The person as a video service in a pipeline of Pipecat (`pip install "speech2lip[pipecat]"`).

    pipeline = Pipeline([transport.input(), stt, llm, tts, Speech2LipVideoService(model="log/me/model.pt"), transport.output()])

Speech of a voice goes in (`TTSAudioRawFrame`). Pictures and that speech come out in step, also while nobody speaks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from av import AudioFrame, AudioResampler
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    SpeechOutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings

from ..config import Settings
from ..errors import UserError
from ..media.sound import SAMPLE_RATE
from .performance import Performance
from .session import LiveSession, Shown, open_session

_KEPT = 50  # frames that wait for a pipeline that does not take them
_LOOK = 0.02  # seconds between two looks at whether everything was said


class Speech2LipVideoService(AIService):  # type: ignore[misc]
    """`TTSAudioRawFrame` in; `OutputImageRawFrame` (RGB) and `SpeechOutputAudioRawFrame` (16 kHz, mono) out, one of each for every frame
    of the clip's rate. An `InterruptionFrame` drops what is not said yet, and the mouth comes to rest. An `EndFrame` waits until
    everything is said. All other frames pass."""

    def __init__(
        self, *, model: str | Path, subject: str | Path | None = None, device: str = "auto", start: int = 0,
        render: Settings | None = None, **options: Any,
    ):  # fmt: skip
        """model: checkpoint; subject: folder (default: the one it was trained on); start: source frame to begin on; render: keys of
        section `render` to change, such as {"render.label": "AI-generated"}; options: of Pipecat's processors."""
        super().__init__(settings=ServiceSettings(model=str(model)), **options)
        self._open: Callable[[], AbstractContextManager[LiveSession]] = lambda: open_session(
            Path(model), None if subject is None else Path(subject), device, start, render
        )
        self._performance: Performance | None = None
        self._ready: asyncio.Queue[Shown] = asyncio.Queue()
        self._pushing: asyncio.Task[None] | None = None
        self._resampler, self._rate = AudioResampler("s16", "mono", SAMPLE_RATE), (0, 0)
        self._last = -1  # number of the last frame that was pushed

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Read the model. UserError for one that cannot be used."""
        await super().setup(setup)
        loop = asyncio.get_running_loop()
        self._performance = await asyncio.to_thread(
            Performance,
            self._open(),
            lambda shown: _hand_over(loop, self._take, shown),
            lambda error: _hand_over(loop, self._over, error),
        )

    async def cleanup(self) -> None:
        await self._close()
        await super().cleanup()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        assert self._performance is not None
        self._pushing = self.create_task(self._push())
        self._performance.begin()

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        await self._everything_said()
        await self._close()

    async def cancel(self, frame: CancelFrame) -> None:
        await super().cancel(frame)
        await self._close()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame) and direction is FrameDirection.DOWNSTREAM:
            await self._say(frame)
            return
        if isinstance(frame, InterruptionFrame) and self._performance is not None:
            self._performance.session.interrupt()
            self._rate = (0, 0)  # what the resampler holds is of the past
            while not self._ready.empty():
                self._ready.get_nowait()
        await self.push_frame(frame, direction)

    async def _say(self, frame: TTSAudioRawFrame) -> None:
        if self._performance is None:
            return
        if (frame.sample_rate, frame.num_channels) != self._rate:
            self._resampler = AudioResampler("s16", "mono", SAMPLE_RATE)
            self._rate = frame.sample_rate, frame.num_channels
        heard = AudioFrame.from_ndarray(
            np.frombuffer(frame.audio, np.int16)[None], "s16", "mono" if frame.num_channels == 1 else "stereo"
        )
        heard.sample_rate = frame.sample_rate
        try:
            for part in self._resampler.resample(heard):
                self._performance.session.say(part.to_ndarray()[0])
        except UserError as error:
            await self.push_error(str(error), error)

    def _take(self, shown: Shown) -> None:
        while self._ready.qsize() >= _KEPT:
            self._ready.get_nowait()
        self._ready.put_nowait(shown)

    async def _push(self) -> None:
        while True:
            shown = await self._ready.get()
            width, height = shown.image.shape[1::-1]
            picture = OutputImageRawFrame(image=shown.image.tobytes(), size=(width, height), format="RGB")
            picture.sync_with_audio = True  # it is shown when the sound before it was sent
            await self.push_frame(picture)
            sound = (np.clip(shown.sound, -1, 1) * 32767).astype(np.int16).tobytes()
            await self.push_frame(SpeechOutputAudioRawFrame(audio=sound, sample_rate=SAMPLE_RATE, num_channels=1))
            self._last = shown.number

    async def _everything_said(self) -> None:
        """Wait until what waits was said, and its frames were pushed."""
        performance = self._performance
        while performance is not None and performance.session.speech.waiting > 0 and performance.running:
            await asyncio.sleep(_LOOK)
        if performance is not None:
            last = performance.session.seconds * performance.session.fps
            while performance.running and self._last < last:
                await asyncio.sleep(_LOOK)

    def _over(self, error: BaseException | None) -> None:
        if error is not None:
            self.create_task(
                self.push_error(f"the face stopped: {error}", error if isinstance(error, Exception) else None)
            )

    async def _close(self) -> None:
        performance, self._performance = self._performance, None
        if performance is not None:
            await asyncio.to_thread(performance.end)
        pushing, self._pushing = self._pushing, None
        if pushing is not None:
            await self.cancel_task(pushing)


def _hand_over(loop: asyncio.AbstractEventLoop, take: Callable[..., None], given: object) -> None:
    """To the event loop, which may be over."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(take, given)

"""Named pipes whose other end is not there, or takes nothing: one signal ends the wait."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from speech2lip.media.decode import read_frames
from speech2lip.media.encode import LiveWriter

ROOT = Path(__file__).resolve().parents[2]
_HEAD = """
import sys, time, numpy as np
from pathlib import Path
from speech2lip import waiting
from speech2lip.errors import UserError, run_guarded
from speech2lip.media.encode import LiveWriter
from speech2lip.media.pcm import sound_of_growing_file
from speech2lip.rendering.live import _Painting
from speech2lip.media.planes import Picture
from speech2lip.model.device import Shares
from speech2lip.rendering.paste import untouched
from speech2lip.rendering.silence import HeardSpeech
waiting._QUIET = 0.2
class Ears:
    arrival = staticmethod(lambda seconds: 0.0)
    windows = staticmethod(lambda: (HeardSpeech(np.full((1, 1, 1), k), np.ones(1)) for k in range(100_000)))
class Painter:
    def paint(self, heard):
        for k in heard[:].ravel():
            print("frame", k, file=sys.stderr, flush=True)
            yield untouched(Picture(np.random.default_rng(k).integers(0, 255, (256, 256, 3), np.uint8)), k)
def write():
    painting = _Painting(25.0, Painter(), Shares(1, 1), None)
    try:
        with LiveWriter(sys.argv[1], 25.0) as writer:
            painting.run(writer, Ears)
    except (UserError, OSError):
        if not painting.interrupted:
            raise
    return 130
def listen():
    return len(list(sound_of_growing_file(Path(sys.argv[1]))))
"""


def _ended(tmp_path, work: str, number: int, ready, name: str) -> str:
    """Run until `ready` is said, send a signal; what was said. Fails where that does not end it within 2 seconds."""
    code = _HEAD + f"sys.exit(run_guarded({work}))"
    process = subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.PIPE, cwd=ROOT, text=True)
    lines, seen = [], threading.Event()

    def hear():
        for line in process.stderr:
            lines.append(line)
            if ready in line:
                seen.set()

    listener = threading.Thread(target=hear)
    listener.start()
    try:
        assert seen.wait(60), lines
        time.sleep(0.5)
        process.send_signal(number)
        assert process.wait(2) == 130, lines
    finally:
        process.kill()
        process.wait()
        listener.join()
    return "".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", ["write", "listen"])
def test_waiting_for_the_other_end_is_said_and_ends_at_a_signal(tmp_path, work, number):
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    said = _ended(tmp_path, work, number, "waiting for a program", str(pipe))
    assert str(pipe) in said and "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_reader_that_takes_nothing_is_left_at_a_signal(tmp_path, number):
    pipe = tmp_path / "pipe.mkv"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    said = _ended(tmp_path, "write", number, "frame 8", str(pipe))
    os.close(reader)
    assert "Traceback" not in said


def test_a_named_pipe_gets_the_whole_video(tmp_path):
    pipe, out = tmp_path / "pipe.mkv", tmp_path / "out.mkv"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: out.write_bytes(pipe.read_bytes()))
    reader.start()
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    with LiveWriter(str(pipe), 25.0) as writer:
        for k in range(30):
            writer.write(np.full((64, 64, 3), 4 * k, np.uint8))
            writer.hear(np.zeros(640, np.float32))
    reader.join(10)
    assert len(list(read_frames(out, 25.0))) == 30
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before

"""espeak-ng in a process of its own: `python -m speech2lip.voice.espeak VOICE WORDS_PER_MINUTE TEXT`.

The library keeps hidden state between utterances; a fresh process makes speech a function of its
text. Writes one line of JSON (rate, phonemes with their seconds), then 16-bit samples.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys

LIMIT = 60  # seconds, after which the process ends by itself, whatever became of the one that started it
_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_UTF8 = 1


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):  # espeak_EVENT of speak_lib.h
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def speak(text: str, voice: str, words_per_minute: int) -> tuple[int, bytes, list[tuple[float, str]]]:
    """Samples per second, 16-bit samples, and (start seconds, mnemonic) of every phoneme."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    path = espeakng_loader.get_data_path().encode()
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, path, _PHONEME_EVENTS)
    if rate <= 0:
        raise RuntimeError(f"espeak-ng could not start with the data in {path.decode()}")
    samples = bytearray()
    phonemes: list[tuple[float, str]] = []

    def receive(wav, count, events):  # type: ignore[no-untyped-def]
        if count > 0:
            samples.extend(ctypes.string_at(wav, 2 * count))
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_PHONEME:
                name = events[index].id.string.decode("utf-8", "replace")
                phonemes.append((events[index].audio_position / 1000, name))
            index += 1
        return 0

    callback = _Callback(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    library.espeak_SetParameter(1, words_per_minute, 0)
    data = text.encode()
    library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None)
    library.espeak_Synchronize()
    return rate, bytes(samples), phonemes


def main() -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(LIMIT)
    voice, words_per_minute, text = sys.argv[1:]
    rate, samples, phonemes = speak(text, voice, int(words_per_minute))
    header = json.dumps({"rate": rate, "phonemes": phonemes})
    sys.stdout.buffer.write(header.encode() + b"\n" + samples)


if __name__ == "__main__":
    main()

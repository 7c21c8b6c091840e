"""What kind of file begins with given bytes, told without a decoder and while they arrive."""

from __future__ import annotations

LONGEST_HEAD = 4096  # bytes that tell: two frames of MPEG sound, and more
_MAGIC = 12  # bytes of the longest mark
_PACKET = 188  # bytes of MPEG-TS
_MARKS = (  # where, what, and what it is
    (0, b"OggS", "an Ogg file"), (0, b"fLaC", "a FLAC file"), (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM file"),
    (4, b"ftyp", "an MP4 file"), (0, b".snd", "an AU file"), (0, b"caff", "a CAF file"), (0, b"RF64", "an RF64 file"),
    (0, b"RIFX", "a big-endian WAV file"), (0, b"FLV\x01", "an FLV file"), (0, b"#!AMR", "an AMR file"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file"), (0, b"wvpk", "a WavPack file"),
)  # fmt: skip
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by MPEG version
_KBITS = {  # by layer, MPEG 1 and the later ones: of the indices 1 .. 14
    (3, 1): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (3, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


def looks_like(head: bytes) -> bool:
    """Whether more bytes are needed to tell."""
    if len(head) < _MAGIC:
        return True
    length = frame_length(head)
    return len(head) < (length + 4 if length else 2 * _PACKET + 1 if head[0] == 0x47 else 0)


def foreign_kind(head: bytes) -> str | None:
    """ "an MP3 file" and the like, where the bytes begin such a file; None for WAV, and for what may be raw sound.

    Marks of two bytes occur in raw sound too: they must come again where the next frame begins.
    """
    for at, mark, kind in _MARKS:
        if head[at : at + len(mark)] == mark:
            return kind
    if head[:3] == b"ID3" and len(head) > 3 and head[3] in (2, 3, 4):
        return "an MP3 file"
    if head[:4] in (b"RIFF", b"FORM") and head[8:12] not in (b"WAVE", b""):
        return {b"AVI ": "an AVI file", b"AIFF": "an AIFF file", b"AIFC": "an AIFF file"}.get(head[8:12])
    length = frame_length(head)
    if length and len(head) >= length + 4 and frame_length(head[length:]) and head[:2] == head[length : length + 2]:
        return "an AAC file" if not head[1] & 6 else "an MP3 file"
    if head[:1] == b"G" and head[_PACKET : _PACKET + 1] == head[2 * _PACKET : 2 * _PACKET + 1] == b"G":
        return "an MPEG-TS file"
    return None


def frame_length(head: bytes) -> int:
    """Bytes of the MPEG sound frame (layer 2 or 3, ISO 11172-3; AAC in ADTS, ISO 13818-7) that begins here; 0: none does."""
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return _short_length(head)
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    if layer == 4:
        length = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        return length if head[1] & 0xF0 == 0xF0 and head[2] >> 2 & 15 < 13 and length > 7 else 0
    index, rate = head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 1 or index in (0, 15) or rate == 3:
        return 0
    bits = 1000 * _KBITS[layer, 1 if version == 3 else 2][index - 1]
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * bits // _RATES[version][rate] + (head[2] >> 1 & 1)


def _short_length(head: bytes) -> int:
    """Of a header whose end is not there yet: it is taken for one, where it has the mark."""
    return frame_length(head + b"\0" * (6 - len(head))) if 4 <= len(head) < 6 else 0

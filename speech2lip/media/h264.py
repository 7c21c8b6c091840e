"""H.264 as it lies in MP4 and Matroska (ISO/IEC 14496-15): parameter sets, and the units of packets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_IDR, _SPS, _PPS = 5, 7, 8  # types of units (ITU-T H.264, table 7-1)
_MOST_IDS = 32  # of sequence parameter sets


@dataclass(frozen=True)
class Configuration:
    """AVCDecoderConfigurationRecord. head: version, profile, compatibility, level; tail: of newer profiles, what follows the sets.
    Units have lengths of four bytes."""

    head: bytes
    sequences: tuple[bytes, ...]
    pictures: tuple[bytes, ...]
    tail: bytes

    @property
    def profile(self) -> int:
        return self.head[1]

    @property
    def ids(self) -> set[int]:
        """Numbers that parameter sets of either kind have."""
        return {parameter_id(unit) for unit in (*self.sequences, *self.pictures)}

    def joined(self, other: Configuration) -> Configuration:
        """The sets of both, whose numbers differ, for a stream whose parts refer to either."""
        head = self.head[:2] + bytes([self.head[2] & other.head[2], max(self.head[3], other.head[3])])
        return Configuration(head, self.sequences + other.sequences, self.pictures + other.pictures, self.tail)

    def __bytes__(self) -> bytes:
        parts = [self.head, b"\xff", bytes([0xE0 | len(self.sequences)]), *map(_sized, self.sequences)]
        return b"".join([*parts, bytes([len(self.pictures)]), *map(_sized, self.pictures), self.tail])


def _sized(unit: bytes) -> bytes:
    return len(unit).to_bytes(2, "big") + unit


def read_configuration(data: bytes | None) -> Configuration | None:
    """A record of a stream whose units have lengths of four bytes; None for anything else."""
    if data is None or len(data) < 8 or data[0] != 1 or data[4] & 3 != 3:
        return None
    sets: list[tuple[bytes, ...]] = []
    at = 5
    for mask in (31, 255):
        count, found = data[at] & mask if at < len(data) else 0, []
        at += 1
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            found.append(data[at + 2 : at + 2 + size])
            at += 2 + size
        sets.append(tuple(found))
    sound = at <= len(data) and all(sets) and all(len(unit) > 4 for unit in sets[0]) and all(map(len, sets[1]))
    return Configuration(data[:4], sets[0], sets[1], data[at:]) if sound else None


def units(packet: bytes | memoryview) -> Iterator[memoryview]:
    """The units of a packet, without their lengths; it ends at one that is cut off."""
    data, at = memoryview(packet), 0
    while at + 4 < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size == 0 or at + 4 + size > len(data):
            return
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


@dataclass(frozen=True)
class PacketFacts:
    """clean: decoding can begin here, and nothing that follows refers to what came before; ids: of parameter sets in it."""

    clean: bool
    ids: frozenset[int]


def look_at(packet: bytes | memoryview) -> PacketFacts:
    clean, ids = False, set()
    for unit in units(packet):
        kind = unit[0] & 31
        clean = clean or kind == _IDR
        if kind in (_SPS, _PPS) and len(unit) > (4 if kind == _SPS else 1):
            ids.add(parameter_id(bytes(unit[:16])))
    return PacketFacts(clean, frozenset(ids))


def parameter_id(unit: bytes) -> int:
    """The number of a parameter set, from its first bytes: an Exp-Golomb code behind the unit's head, and in a sequence
    parameter set behind profile and level."""
    at = 4 if unit[0] & 31 == _SPS else 1
    bits = int.from_bytes(unit[at : at + 8], "big")
    length = 8 * len(unit[at : at + 8])
    zeros = length - bits.bit_length()
    shift = length - 2 * zeros - 1
    return (bits >> shift) - 1 if shift >= 0 else 0


def free_id(used: Sequence[int] | set[int]) -> int | None:
    """A number that no parameter set has."""
    return next((number for number in range(_MOST_IDS) if number not in used), None)

"""Files of this machine as uploads."""

from __future__ import annotations

import os

from speech2lip.jobs.uploads import Uploads


def test_a_file_is_copied_once_and_another_of_its_name_and_size_beside_it(tmp_path):
    uploads, own = Uploads(tmp_path / "uploads"), tmp_path / "me.mp4"
    own.write_bytes(b"first")
    first = uploads.take(own)
    assert first != own and first.read_bytes() == b"first" and uploads.take(own) == first
    stat = own.stat()
    own.write_bytes(b"other")
    os.utime(own, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # nothing but the content differs
    other = uploads.take(own)
    assert (first.read_bytes(), other.read_bytes()) == (b"first", b"other")
    assert len(list(uploads.all())) == 2


def test_what_has_not_arrived_as_a_whole_is_not_taken_for_the_file(tmp_path):
    uploads, own = Uploads(tmp_path / "uploads"), tmp_path / "me.mp4"
    own.write_bytes(b"content")
    begun = uploads.begin("me.mp4", 7)
    uploads.add(begun.id, 0, b"con")
    assert uploads.take(own).read_bytes() == b"content" and uploads.get(begun.id).offset == 3

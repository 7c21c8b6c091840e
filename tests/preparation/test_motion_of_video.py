import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from speech2lip.cli import main
from speech2lip.config import Config
from speech2lip.errors import UserError
from speech2lip.geometry.turning import angles_of, mean_rotation
from speech2lip.preparation.motion import motion_file, motion_of_video
from speech2lip.subject.motion import read_motion


def test_a_video_gives_the_motion_of_its_head(clip, truth, tmp_path, capsys):
    """The command, on a video of which nothing else is known, against the poses that were drawn."""
    target = tmp_path / "head.json"
    assert main(["pose", "--video", str(clip / "speaker.mp4"), "--out", str(target)]) == 0
    assert str(target) in capsys.readouterr().out
    motion = read_motion(target)
    turns = Rotation.from_rotvec(truth["rotvec"]).as_matrix()
    true = angles_of(turns, mean_rotation(turns))
    assert motion.fps == 25 and len(motion) == len(true) and list(tmp_path.iterdir()) == [target]
    error = np.abs(motion.angles - true)
    assert error.mean() < 1 and np.percentile(error, 95) < 2.5, error.mean(0)
    assert np.corrcoef(motion.angles[:, 0], true[:, 0])[0, 1] > 0.99


def test_words_and_json_stay_what_they_are(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"fps": 25, "frames": [{}]}))
    for pose in ("hold", "source", str(tmp_path / "a.json"), str(tmp_path)):
        with motion_file(pose) as found:
            assert found == pose


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nothing" * 100)
    with pytest.raises(UserError, match=r"a\.mp4"), motion_file(str(tmp_path / "a.mp4")):
        pass
    with pytest.raises(UserError, match=r"none\.mp4"):
        motion_of_video(Config(), tmp_path / "none.mp4")

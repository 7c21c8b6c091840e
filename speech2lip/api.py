"""The Python interface: the same steps as on the command line, as functions.

Settings are the configuration's (`speech2lip config` lists them): keys are written with dots,
as in `settings={"train.batch": 4}`. Unusable input raises `UserError`, whose message is one
sentence for a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import Settings, load_settings
from .files import check_input
from .names import subject_name
from .subject.records import Subject

if TYPE_CHECKING:
    from .library.listing import ListedSubject
    from .provenance.verify import Verdict
    from .rendering.dubbing import DubReport
    from .rendering.listening import Impression


def preprocess(
    video: str | Path, out: str | Path, voice: str | Path | None = None, name: str | None = None,
    config: str | Path | None = None, settings: Settings | None = None, consent: bool = False, face: int | str | Path = "",
) -> Subject:  # fmt: skip
    """Turn a video of one person talking into a subject's folder `out`; returns its record.

    video: a file, or a folder of numbered frames; voice: the clip's own speech, where the video has no
    sound; name: of the subject (default: the folder's name); config: a preset's name or a YAML file;
    settings: entries to change; consent: the person agreed, which is recorded in `subject.json` (otherwise what is
    recorded there stays, or that nobody was asked); face: whose, where several people are seen: a number on the sheet
    `out`/people.jpg, or a picture of the person (default: number 1, the one seen most). Stages that were finished with the same input are kept; a folder that was
    made from another clip is refused.

        subject = preprocess("me.mp4", "dataset/me", settings={"data.fps": 29.97})
        print(subject.frames, subject.crop)
    """
    from .preparation.pipeline import preprocess as run
    from .subject.consent import said_so, unasked

    label = subject_name(Path(out).resolve().name) if name is None else name
    given = {
        "name": label,
        "data.root": str(out),
        **({"data.face": str(face)} if face != "" else {}),
        **(settings or {}),
    }
    speech = Path(voice) if voice is not None else None
    return run(
        load_settings(config, given),
        Path(video),
        speech,
        "give this one another folder",
        said_so if consent else unasked,
    )


def train(
    subject: str | Path, out: str | Path, minutes: float = 0.0, fresh: bool = False,
    config: str | Path | None = None, settings: Settings | None = None,
) -> Path:  # fmt: skip
    """Fit a model to a subject's folder; returns the path of the checkpoint, `out`/model.pt.

    out: the folder for the model and the state from which the next call goes on; minutes: of
    wall-clock time (0: `train.steps` steps); fresh: start over. Ctrl-C and SIGTERM save the state and
    raise KeyboardInterrupt. Once on the way the doctor's second look is printed (docs/doctor.md).

        model = train("dataset/me", "log/me", minutes=30, config="faithful")
    """
    from .diagnosis.second_look import tell
    from .training.trainer import fit

    folder = Path(out)
    given = {"train.minutes": minutes, **(settings or {}), "data.root": str(subject)}
    given |= {"name": folder.name, "train.output": str(folder.parent)}
    return fit(load_settings(config, given), fresh, tell)


def render(
    model: str | Path, audio: str | Path, out: str | Path, subject: str | Path | None = None, start: int = 0,
    device: str = "auto", settings: Settings | None = None, pose: str | Path | float = "source",
) -> int:  # fmt: skip
    """Make the person say `audio`, in the video `out` at the source's size; returns its number of frames.

    subject: the subject's folder (default: the one that the model was trained on); start: source
    frame to begin on; device: auto, cpu or cuda; settings: keys of section `render` to change, such as those of the
    command's options: render.silence, render.articulation, render.steady, render.loop and render.label; pose: of the head: "hold",
    "source", a factor on the clip's own motion, or a file that it follows: JSON of `head_motion`, a subject's folder, a video.
    The video carries content credentials (docs/credentials.md).

        frames = render("log/me/model.pt", "speech.wav", "result.mp4")
        render("log/me/model.pt", "speech.wav", "calm.mp4", settings={"render.silence": "natural", "render.loop": [100, 349]})
    """
    from .media.sound import check_sound
    from .rendering.files import render_video
    from .rendering.output import check_output
    from .rendering.posing import pose_settings

    check_input(Path(audio), "speech")
    check_sound(Path(audio))
    check_output(Path(out), Path(audio))
    folder = Path(subject) if subject is not None else None
    with posed({**pose_settings(str(pose)), **(settings or {})}) as given:
        return render_video(Path(model), Path(audio), Path(out), folder, device, start, given)


@contextmanager
def posed(settings: Settings) -> Iterator[dict[str, Any]]:
    """Settings of a render, whose `render.pose` is refused where it is neither a word that is known nor a file that can be
    read; while the block runs, a video whose head is followed is a file of its motion."""
    from .rendering.posing import check_pose

    pose = str(settings.get("render.pose", "source"))
    check_pose(pose)
    if pose in ("source", "hold"):
        yield dict(settings)
        return
    from .preparation.motion import motion_file  # with the tracker, which no other render needs

    with motion_file(pose) as readable:
        yield {**settings, "render.pose": readable}


def head_motion(source: str | Path, out: str | Path, settings: Settings | None = None) -> int:
    """Write how a head moves as JSON, for `pose` of `render`; returns the number of frames.

    source: a subject's folder, or a video of a head; settings: entries to change, for a video.

        head_motion("dataset/me", "me.json")
    """
    from .preparation.motion import motion_of_video
    from .rendering.posing import motion_of
    from .subject.layout import SubjectLayout
    from .subject.motion import write_motion

    path = Path(source)
    known = SubjectLayout(path).subject.is_file()
    motion = motion_of(path) if known else motion_of_video(load_settings(None, settings or {}), path)
    write_motion(Path(out), motion)
    return len(motion)


def verify(file: str | Path, certificate: str | Path | None = None) -> Verdict:
    """What the content credentials of a video or a picture say, and whether it was altered since; see `Verdict`.

    certificate: of somebody else who may have signed it (PEM). Nothing is asked of a network.

        verdict = verify("result.mp4")
        print(verdict.good, verdict.state, verdict.problems)
    """
    from .provenance.verify import verify as run

    return run(Path(file), Path(certificate) if certificate is not None else None)


def dub(
    model: str | Path, segments: str | Path, out: str | Path, audio: str | Path | None = None,
    subject: str | Path | None = None, device: str = "auto", settings: Settings | None = None,
) -> DubReport:  # fmt: skip
    """Make the person speak in some spans of the source alone; returns what was written into the video `out`.

    segments: a .srt, .vtt or .csv file of spans; audio: what is said, at the source's times; without it the sound that
    the .csv names, or the spans' text in a built-in voice; others: as of `render`. Outside the spans picture and sound are the
    source's, and the result has as many frames ([dubbing](docs/dubbing.md)).

        report = dub("log/me/model.pt", "times.srt", "dubbed.mp4", audio="german.wav")
        print(report)
    """
    from .media.sound import check_sound
    from .rendering.dubbing import render_dubbed

    sound = Path(audio) if audio is not None else None
    if sound is not None:
        check_input(sound, "speech")
        check_sound(sound)
    folder = Path(subject) if subject is not None else None
    return render_dubbed(Path(model), Path(segments), sound, Path(out), folder, device, settings)


def listen(model: str | Path, audio: str | Path, subject: str | Path | None = None, device: str = "auto") -> Impression:
    """How much of `audio` is speech, and how far it lies from the speech that the model was trained on.

    heard = listen("log/me/model.pt", "speech.wav")
    print(heard.speech, heard.familiarity.verdict if heard.familiarity else "too little speech")
    """
    from .media.sound import check_sound
    from .rendering.listening import listen as run

    check_input(Path(audio), "speech")
    check_sound(Path(audio))
    return next(run(Path(model), [Path(audio)], Path(subject) if subject is not None else None, device))


def subjects(root: str | Path = "dataset", log: str | Path = "log") -> list[ListedSubject]:
    """Everybody who was learned, in the order of their names: state, frames, consent, model, size.

    root: folder of the subjects' folders; log: folder of the models' folders; so in the functions below.
    """
    from .library.listing import list_subjects
    from .library.places import Places

    return list_subjects(Places(Path(root), Path(log)))


def rename_subject(old: str, new: str, root: str | Path = "dataset", log: str | Path = "log") -> Path:
    """Give a subject and its models another name; returns its folder. Models are ready to render under it."""
    from .library.changes import rename_subject as run
    from .library.places import Places

    return run(old, new, Places(Path(root), Path(log))).folder


def export_subject(name: str, out: str | Path, root: str | Path = "dataset", log: str | Path = "log") -> Path:
    """Write a subject and its model into one new archive, `out`, for `import_subject`; returns its path."""
    from .library.exports import export_subject as run
    from .library.places import Places

    run(name, Path(out), Places(Path(root), Path(log)))
    return Path(out)


def import_subject(
    archive: str | Path, name: str | None = None, root: str | Path = "dataset", log: str | Path = "log"
) -> Path:
    """Unpack an archive as a new subject; returns its folder. name: instead of the archive's.

    Anybody's archive may be given: it is checked before anything is put into place, and a name that is taken is refused.
    """
    from .library.imports import import_subject as run
    from .library.places import Places

    return run(Path(archive), Places(Path(root), Path(log)), name).folder


def remove_subject(name: str, root: str | Path = "dataset", log: str | Path = "log") -> list[Path]:
    """Remove a subject, its models and the published recipe's results, without asking; returns the files that are gone.

    Files in its folders that this program did not write stay.
    """
    from .library.changes import remove_subject as run
    from .library.places import Places

    return list(run(name, Places(Path(root), Path(log))).files)

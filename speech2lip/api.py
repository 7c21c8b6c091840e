"""The Python interface: the same steps as on the command line, as functions.

Settings are the configuration's (`speech2lip config` lists them): keys are written with dots,
as in `settings={"train.batch": 4}`. Unusable input raises `UserError`, whose message is one
sentence for a person.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .config import Settings, load_settings
from .files import check_input
from .names import subject_name
from .subject.records import Subject

if TYPE_CHECKING:
    from .library.listing import ListedSubject


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
    raise KeyboardInterrupt.

        model = train("dataset/me", "log/me", minutes=30, config="faithful")
    """
    from .training.trainer import fit

    folder = Path(out)
    given = {"train.minutes": minutes, **(settings or {}), "data.root": str(subject)}
    given |= {"name": folder.name, "train.output": str(folder.parent)}
    return fit(load_settings(config, given), fresh)


def render(
    model: str | Path, audio: str | Path, out: str | Path, subject: str | Path | None = None, start: int = 0,
    device: str = "auto", settings: Settings | None = None,
) -> int:  # fmt: skip
    """Make the person say `audio`, in the video `out` at the source's size; returns its number of frames.

    subject: the subject's folder (default: the one that the model was trained on); start: source
    frame to begin on; device: auto, cpu or cuda; settings: keys of section `render` to change.

        frames = render("log/me/model.pt", "speech.wav", "result.mp4")
    """
    from .media.sound import check_sound
    from .rendering.files import render_video
    from .rendering.output import check_output

    check_input(Path(audio), "speech")
    check_sound(Path(audio))
    check_output(Path(out), Path(audio))
    return render_video(
        Path(model), Path(audio), Path(out), Path(subject) if subject is not None else None, device, start, settings
    )


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

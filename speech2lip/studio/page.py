"""The page: what is seen, and which function each button calls. It holds no logic of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from ..config import SILENCES
from ..errors import UserError
from ..jobs.orders import RESULT, Order, Value
from ..jobs.store import CANCEL, PAUSE
from ..jobs.workspace import Workspace
from ..names import subject_name
from ..voice.synthesis import synthesize
from . import views

_REFRESH = 1.5  # seconds between two looks at the folder
_USUAL_MINUTES = 30
_NARROW, _HALF = 60, 120  # pixels: the least of a button of which three, or two, stand side by side on a telephone, too
# Seconds: how often is looked at what the browser sent, and how long that is kept. Jobs have copies.
_HOUR, _DAY = 3600, 86_400
CSS = """
footer {display: none !important}
.gradio-container {width: 100% !important; min-width: 0 !important; max-width: 1100px !important; margin: 0 auto !important}
.gradio-container main {width: 100%; min-width: 0}
.jobs {width: 100%; border-collapse: collapse}
.jobs th, .jobs td {text-align: left; vertical-align: top; padding: 6px 8px}
.jobs .said {overflow-wrap: anywhere}
@media (max-width: 640px) {
    .gradio-container > .main {padding-left: 12px !important; padding-right: 12px !important}
    .tab-container button {padding-left: 6px !important; padding-right: 6px !important}
}
"""
_CONSENT = "The person in the video agreed that a model of their face and speech is made"


def theme() -> gr.themes.Base:
    """Fonts are the system's: none is fetched."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def make_page(workspace: Workspace) -> gr.Blocks:
    """The studio of one folder."""
    studio = _Studio(workspace)
    with gr.Blocks(title="Speech2Lip", analytics_enabled=False, delete_cache=(_HOUR, _DAY)) as page:
        gr.Markdown("# Speech2Lip\nLearn a person's mouth from a video; make them say anything.")
        clock = gr.Timer(_REFRESH)
        with gr.Tabs():
            studio.people(page, clock)
            studio.new_person()
            studio.training(page, clock)
            studio.speak(page, clock)
            studio.jobs(page, clock)
    return page


def _said(function: Callable[..., Any]) -> Callable[..., Any]:
    """What cannot be done is said in words on the page."""

    @wraps(function)
    def wrapped(*given: Any) -> Any:
        try:
            return function(*given)
        except UserError as error:
            raise gr.Error(str(error), duration=None, title="This does not work", print_exception=False) from None

    return wrapped


def _watch(
    moments: Sequence[Any], look: Callable[..., tuple[object, list[Any]]], given: Any, shown: Sequence[Any]
) -> None:  # fmt: skip
    """Show at these moments what `look` finds. It returns what its outputs depend on, and the outputs: nothing is sent to the page
    while nothing has changed, so that a list that is open stays open, and a picture that was enlarged stays large."""
    seen = gr.State("")

    def changed(*values: Any) -> list[Any]:
        *own, before = values
        facts, found = look(*own)
        now = repr(facts)
        return [*([gr.skip()] * len(found) if now == before else found), now]

    for moment in moments:
        moment(changed, [*given, seen], [*shown, seen], show_progress="hidden")


class _Studio:
    """The tabs, and what their buttons do."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace

    # -------------------------------------------------------------- people

    def people(self, page: gr.Blocks, clock: gr.Timer) -> None:
        with gr.Tab("People", id="people"):
            empty = gr.Markdown()
            gallery = gr.Gallery(
                label="People who were learned",
                columns=4,
                height="auto",
                object_fit="contain",
                interactive=False,
                visible=False,
            )

            def look() -> tuple[object, list[Any]]:
                shown = views.gallery(self.workspace)
                said = "" if shown else "Nobody was learned yet: begin with **New person**."
                return shown, [said, gr.update(value=shown, visible=bool(shown))]

            _watch([page.load, clock.tick], look, [], [empty, gallery])

    # -------------------------------------------------------------- new person

    def new_person(self) -> None:
        with gr.Tab("New person", id="new"):
            gr.Markdown(
                "One to five minutes of one person who talks to the camera, well lit. 20 seconds work, but not as well."
            )
            with gr.Row():
                video = gr.Video(label="Video", sources=["upload", "webcam"], include_audio=True)
                with gr.Column():
                    name = gr.Textbox(label="Name", placeholder="anna", max_lines=1)
                    minutes = gr.Slider(1, 240, _USUAL_MINUTES, step=1, label="Minutes of training")
                    face = gr.Textbox(
                        label="Whose face, where several people are seen: their number on the sheet", max_lines=1
                    )
                    agreed = gr.Checkbox(label=_CONSENT)
                    with gr.Row():
                        check = gr.Button("Check the video")
                        learn = gr.Button("Learn this person", variant="primary")
            ordered = gr.Markdown()
            said = gr.Markdown()
            report = gr.HTML(label="What the doctor says")
            job = gr.State("")
            look = gr.Timer(_REFRESH, active=False)
            check.click(_said(self._check), [video, name, face], [job, said, look])
            look.tick(self._checked, job, [said, report, look], show_progress="hidden")
            learn.click(_said(self._learn), [video, name, minutes, face, agreed], ordered)
            video.change(_suggested, [video, name], name, show_progress="hidden")

    def _check(self, video: str | None, name: str, face: str) -> tuple[str, str, Any]:
        order = Order("examine", _named(name), self._clip(video, face))
        return self.workspace.jobs.ask(order).id, "Looking at the video ...", gr.Timer(active=True)

    def _checked(self, identity: str) -> tuple[str, str, Any]:
        if not identity:
            return "", "", gr.Timer(active=False)
        job = self.workspace.jobs.get(identity)
        text = views.progress_text(job, self.workspace)
        report = views.page_of(self.workspace.jobs.folder_of(identity) / "doctor" / "report.html")
        if job.state in ("done", "failed", "cancelled"):
            return text, report, gr.Timer(active=False)
        return text or "Waiting for another job ...", report, gr.Timer(active=True)

    def _learn(self, video: str | None, name: str, minutes: float, face: str, agreed: bool) -> str:
        if not agreed:
            raise UserError("nobody is learned who did not agree: ask the person, and tick the box")
        values = {**self._clip(video, face), "minutes": float(minutes), "consent": True}
        job = self.workspace.jobs.ask(Order("learn", _named(name), values))
        return f"**{job.order.name}** is being learned: see **Training**. This page may be closed meanwhile."

    def _clip(self, video: str | None, face: str) -> dict[str, Value]:
        if not video:
            raise UserError("there is no video yet: drop one, or record one")
        values: dict[str, Value] = {"video": str(self.workspace.uploads.take(Path(video)))}
        return {**values, "face": face.strip()} if face.strip() else values

    # -------------------------------------------------------------- training

    def training(self, page: gr.Blocks, clock: gr.Timer) -> None:
        with gr.Tab("Training", id="training"):
            who = gr.Dropdown(label="Person", choices=[], interactive=True)
            state = gr.Markdown()
            with gr.Row():
                pause, resume = gr.Button("Pause", min_width=_NARROW), gr.Button("Go on", min_width=_NARROW)
                stop = gr.Button("Stop", variant="stop", min_width=_NARROW)
            preview = gr.Image(label="Real above generated, of unheard speech", interactive=False, visible=False)
            curve = gr.LinePlot(label="Loss", x="step", y="loss", height=260, visible=False)

            total = gr.Number(label="Minutes of training in all", value=2 * _USUAL_MINUTES, minimum=1, precision=0)
            more = gr.Button("Train further")

            def look(name: str | None) -> tuple[object, list[Any]]:
                if not name:
                    return "", ["Nobody is being trained.", gr.update(visible=False), gr.update(visible=False)]
                found = views.training(name, self.workspace)
                points = pd.DataFrame(found.points, columns=["step", "loss"])
                shown = gr.update(value=found.preview, visible=found.preview is not None)
                return found, [found.text, shown, gr.update(value=points, visible=len(points) > 1)]

            def people(chosen: str | None) -> tuple[object, list[Any]]:
                names = views.trained_people(self.workspace)
                return _choice(names, chosen)

            _watch([page.load, clock.tick, who.change], look, [who], [state, preview, curve])
            _watch([page.load, clock.tick], people, [who], [who])
            pause.click(_said(lambda name: self._wish(name, PAUSE)), who, state)
            stop.click(_said(lambda name: self._wish(name, CANCEL)), who, state)
            resume.click(_said(self._resume), who, state)
            more.click(_said(self._more), [who, total], state)

    def _newest(self, name: str | None) -> str:
        job = views.training(name, self.workspace).job if name else None
        if job is None:
            raise UserError("no training was ordered for this person here: order one with **Train further**")
        return job.id

    def _wish(self, name: str | None, wish: str) -> str:
        job = self.workspace.jobs.wish(self._newest(name), wish)
        return views.progress_text(job, self.workspace) or job.state

    def _resume(self, name: str | None) -> str:
        return self.workspace.jobs.resume(self._newest(name)).state

    def _more(self, name: str | None, minutes: float) -> str:
        if not name:
            raise UserError("nobody was chosen: choose a person above")
        return self.workspace.jobs.ask(Order("train", name, {"minutes": float(minutes)})).state

    # -------------------------------------------------------------- speak

    def speak(self, page: gr.Blocks, clock: gr.Timer) -> None:
        with gr.Tab("Speak", id="speak"):
            who = gr.Dropdown(label="Person", choices=[], interactive=True)
            with gr.Row():
                audio = gr.Audio(label="What the person shall say", sources=["upload", "microphone"], type="filepath")
                with gr.Column():
                    text = gr.Textbox(label="Or text, for a built-in voice", lines=3)
                    voice = gr.Textbox(label="Voice", value="en-us", max_lines=1)
                    read = gr.Button("Read it aloud")
            with gr.Accordion("More", open=False):
                silence = gr.Dropdown(list(SILENCES), value="close", label="Where nobody speaks")
                articulation = gr.Slider(0, 2, 1, step=0.05, label="Articulation")
                steady = gr.Slider(0, 1, 0, step=0.05, label="Steadiness")
                pose = gr.Dropdown(["source", "hold"], value="source", label="Head")
                segments = gr.File(
                    label="Speak in these spans alone (.srt, .vtt, .csv)", file_types=[".srt", ".vtt", ".csv"]
                )
                label = gr.Textbox(label="A visible mark", placeholder="AI-generated", max_lines=1)
            go = gr.Button("Speak", variant="primary")
            said = gr.Markdown()
            result = gr.Video(label="Result", interactive=False, visible=False, height=480)
            download = gr.DownloadButton("Download", visible=False)
            job, shown = gr.State(""), gr.State("")

            def people(chosen: str | None) -> tuple[object, list[Any]]:
                return _choice([found.name for found in views.people(self.workspace) if views.can_speak(found)], chosen)

            _watch([page.load, clock.tick], people, [who], [who])
            read.click(_said(_read_aloud), [text, voice], audio)
            given = [who, audio, silence, articulation, steady, pose, segments, label]
            go.click(_said(self._speak), given, [job, said])
            page.load(self._last_spoken, None, job, show_progress="hidden")
            clock.tick(self._spoken, [job, shown], [said, result, download, shown], show_progress="hidden")

    def _speak(
        self, who: str | None, audio: str | None, silence: str, articulation: float, steady: float, pose: str, segments: str | None,
        label: str,
    ) -> tuple[str, str]:  # fmt: skip
        if not who:
            raise UserError("nobody can speak yet: learn a person first")
        if not audio and not segments:
            raise UserError("there is nothing to say yet: drop or record a sound, or read a text aloud")
        values: dict[str, Value] = {"silence": silence, "articulation": float(articulation), "steady": float(steady)}
        values |= {} if segments else {"pose": pose}
        for name, file in (("audio", audio), ("segments", segments)):
            values |= {name: str(self.workspace.uploads.take(Path(file)))} if file else {}
        values |= {"label": label.strip()} if label.strip() else {}
        return self.workspace.jobs.ask(Order("speak", who, values)).id, "Waiting ..."

    def _last_spoken(self) -> str:
        """The newest job, so that a page that was closed finds its result again."""
        return next((job.id for job in self.workspace.jobs.all(most=200) if job.order.kind == "speak"), "")

    def _spoken(self, identity: str, shown: str) -> list[Any]:
        if not identity or identity == shown:
            return [gr.skip(), gr.skip(), gr.skip(), gr.skip()]
        job = self.workspace.jobs.get(identity)
        file = self.workspace.jobs.folder_of(identity) / RESULT
        if job.state == "done" and file.is_file():
            shown_file = gr.update(value=str(file), visible=True)
            return [f"{job.order.name} has spoken.", shown_file, shown_file, identity]
        over = identity if job.state in ("failed", "cancelled") else shown
        return [views.progress_text(job, self.workspace) or job.state, gr.skip(), gr.skip(), over]

    # -------------------------------------------------------------- jobs

    def jobs(self, page: gr.Blocks, clock: gr.Timer) -> None:
        with gr.Tab("Jobs", id="jobs"):
            table = gr.HTML(label="Jobs, the newest first")
            which = gr.Dropdown(label="Job", choices=[], interactive=True)
            with gr.Row():
                pause, resume = gr.Button("Pause", min_width=_HALF), gr.Button("Go on", min_width=_HALF)
                cancel = gr.Button("Cancel", variant="stop", min_width=_HALF)
                forget = gr.Button("Remove", min_width=_HALF)
            said = gr.Markdown()
            log = gr.Textbox(label="Log", lines=14, max_lines=14, interactive=False, autoscroll=True)

            def look(chosen: str | None) -> tuple[object, list[Any]]:
                rows = views.job_rows(self.workspace)
                names = [(f"{row.kind} {row.person}, {row.state}, {row.since}", row.id) for row in rows]
                facts, (choice,) = _choice(names, chosen)
                text = views.log_of(choice["value"] or "", self.workspace)
                return (facts, rows, text), [views.jobs_table(rows), choice, text]

            _watch([page.load, clock.tick, which.change], look, [which], [table, which, log])
            jobs = self.workspace.jobs
            pause.click(_said(lambda job: jobs.wish(job or "", PAUSE).state), which, said)
            cancel.click(_said(lambda job: jobs.wish(job or "", CANCEL).state), which, said)
            resume.click(_said(lambda job: jobs.resume(job or "").state), which, said)
            forget.click(_said(lambda job: jobs.forget(job or "")), which, said)


def _choice(known: Sequence[Any], chosen: str | None) -> tuple[object, list[Any]]:
    """As `_watch` wants it: a list to choose from, in which what was chosen stays, or else the first is. known: values, or
    (text, value)."""
    values = [each[1] if isinstance(each, tuple) else each for each in known]
    value = chosen if chosen in values else next(iter(values), None)
    return (known, chosen == value), [gr.update(choices=list(known), value=value)]


def _named(name: str) -> str:
    if not name.strip():
        raise UserError("the person has no name yet: give one, such as anna")
    return subject_name(name.strip())


def _suggested(video: str | None, name: str) -> str:
    """A name from the file's, where none was given."""
    return name if name or not video else subject_name(Path(video).stem)[:40]


def _read_aloud(text: str, voice: str) -> tuple[int, Any]:
    if not text.strip():
        raise UserError("there is no text yet: type a sentence")
    try:
        spoken = synthesize(text.strip(), voice.strip() or "en-us")
    except RuntimeError as error:
        raise UserError(f"the text cannot be spoken ({error}): try another voice, such as en-us or de") from error
    return 16_000, (spoken.wav.clip(-1, 1) * 32767).astype("int16")

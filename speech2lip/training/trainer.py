"""Training one subject: a list of phases, and the one loop that runs them."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..audio.features import backend_from_params
from ..config import Config
from ..errors import UserError
from ..files import check_writable, writing
from ..locks import reader_of, writer_of
from ..model.builder import build_expert, build_model, region_kind
from ..model.checkpoint import save_checkpoint
from ..model.device import has_bfloat16, pick_device
from ..model.familiarity import agreement
from ..model.metadata import ModelMetadata, geometry_of, metadata_of
from ..model.rest import presence_in, rest_of, resting_frames
from ..nets.interface import LipSyncModel
from ..nets.speech2lip import Speech2Lip
from ..progress import bar, silent
from ..subject.dataset import SubjectDataset
from ..subject.index import parse_subject
from ..subject.layout import SubjectLayout
from ..weights.wanted import TRAIN, check_weights
from .context import Context, Objective
from .curves import Curves
from .ema import Average
from .exemplars import fit_exemplars
from .joint import JointTraining
from .phases import NotFinite, Phase, Position, progress
from .picture import DepthObjective, PictureObjective, canonical_picture
from .prior import start_from_prior
from .record import Record, Together, Writer
from .signals import StopRequest
from .speech import Calibration, SpeechObjective, SpeechTraining
from .state import REMEDY, Progress, fingerprint, load_state, save_state
from .sync import OwnExpert, SyncObjective
from .team import Team, join, leave, rank
from .validation import validate
from .wav2lip import PublishedSync

_LEAST_STEPS = 50  # of a phase, below which nothing is learned
_METER_SECONDS = 1.0  # between movements of the bar


def fit(config: Config, fresh: bool = False, look: Callable[[Path], None] | None = None) -> Path:
    """Train what `config` says; returns the path of the checkpoint. KeyboardInterrupt when a signal ended it.

    look: is called once in a training, with the checkpoint of the first validation after pictures were learned."""
    join(pick_device(config.train.device))
    try:
        return _fit(config, fresh, look)
    finally:
        leave()


def _fit(config: Config, fresh: bool, look: Callable[[Path], None] | None) -> Path:
    folder, layout = Path(config.train.output) / config.name, SubjectLayout(config.data.root)
    check_writable(folder / "model.pt")
    check_weights(config, (TRAIN,))
    if not folder.is_dir():  # nothing is made for a subject that is refused below
        layout.source_path(layout.load_subject())
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        if rank() == 0:
            held.enter_context(writer_of(folder, "speech2lip train"))
        else:  # the first process writes and talks
            held.enter_context(silent())
        held.enter_context(reader_of(layout.root, "speech2lip train"))
        layout.source_path(layout.load_subject())  # rendering needs the source: better refused now than after hours
        trainer = Trainer(config, fresh)
        trainer.look = look
        if not trainer.run():
            raise KeyboardInterrupt(
                f"stopped by signal {trainer.stop.number}; state saved in {trainer.folder}, run the same command to continue"
            )
        return trainer.model_file


class Trainer:
    """Fits one subject; `run` trains until the budget is spent or a signal arrives.

    The budget is `train.minutes` of wall-clock time where that is not 0, else `train.steps`; rates and
    phases follow the share of it that is spent. Where torchrun started several processes, each has its parts of every step, and
    the first one keeps the time and writes. While it trains, model.partial.pt has the averaged
    weights of the last validation; model.pt is written at the end, and an earlier one becomes model.prev.pt.
    """

    def __init__(self, config: Config, fresh: bool = False):
        self.config, self.folder = config, Path(config.train.output) / config.name
        self.state_file, self.model_file = self.folder / "last.pt", self.folder / "model.pt"
        self.context = make_context(config)
        self.team = self.context.team
        index = self.context.index
        geometry = geometry_of(index.subject, index.track)
        self.metadata = metadata_of(index.subject, index.track.mouth.shape[1], geometry)
        self._presence = presence_in(index.layout.audio, index.subject.fps, index.subject.frames)
        self.model = make_model(self.context)
        self.average = Average(self.model, config.train.ema)
        self.sync = make_sync(self.context)
        self.calibration = make_calibration(self.context, self.model)
        self.phases = make_phases(self.context, self.model, self.average, self.sync, self.calibration)
        self.progress, self.stop = Progress(), StopRequest()
        self.look: Callable[[Path], None] | None = None  # `fit` tells of it
        self._identity = {
            "metadata": dataclasses.replace(self.metadata, geometry=()).to_dict(),  # older states have none
            "data": fingerprint(index.layout, config.data.test_fraction),
        }
        if fresh and self.team.leads:
            self.state_file.unlink(missing_ok=True)
        self.team.meet()
        if self.state_file.is_file():
            self._restore()
        else:
            self.progress.use_bf16 = config.train.amp and has_bfloat16(self.context.device)
        self.model.use_bf16 = self.progress.use_bf16
        self._make_alike()

    def _make_alike(self) -> None:
        """Give every process the first one's weights."""
        self.team.alike([*self.model.state_dict().values(), *self.average.values.values()])

    @property
    def spent(self) -> float:
        """Share of the budget that is spent, 0..1."""
        return progress(self.config.train, self.progress.step, self.progress.elapsed)

    def run(self) -> bool:
        """Train to the end of the budget; returns False when a signal stopped it (state saved)."""
        if self.spent >= 1 and self.model_file.is_file() and self.progress.step > 0:
            print(f"{self.folder}: already trained; give more minutes or steps, or --fresh to start over")
            return True
        writer = self._writer()
        with self.stop:
            for phase in self.phases[self.progress.phase :]:
                self._run_phase(phase, writer)
                if self.stop.number is not None:
                    break
        self.team.close()
        finished = self.stop.number is None
        if self.team.leads:
            if finished:
                self._finish(writer)
            self.save()
        self.team.meet()
        writer.close()
        return finished

    def _writer(self) -> Writer:
        """Where curves go: nowhere, but for the first process."""
        if not self.team.leads:
            return Together()
        return Together(Curves(self.folder / "tensorboard"), Record(self.folder, fresh=not self.progress.begun))

    def _run_phase(self, phase: Phase, writer: Writer) -> None:
        """Steps of one phase until its budget is spent, or a signal arrives."""
        at, train = self.progress, self.config.train
        if at.phase_step == 0:
            phase.trainee.begin()
        meter = bar(phase.name, 1000, "‰", done=round(1000 * self._done(phase)))
        shown = saved = last = time.monotonic()
        while (done := self._done(phase)) < 1 and self.stop.number is None:
            # evaluate
            if phase.validates and self.spent >= at.next_validation:
                if self.team.leads:
                    self._validate(writer, self.folder / "model.partial.pt")
                    meter.clear()
                    self._let_look(self.folder / "model.partial.pt")
                at.next_validation = self.spent + train.validate_every
            # forward and backward
            terms = self._step(phase, done)
            # account, log and save
            now = time.monotonic()
            seconds, self.stop.number = self.team.agree(now - last, self.stop.number)
            self._account(phase, seconds)
            last = now
            if at.phase_step % train.log_every == 0:
                _log(writer, phase, terms, at.step if phase.validates else at.phase_step)
            if now - shown > _METER_SECONDS:
                meter.n, shown = round(1000 * self._done(phase)), now
                meter.set_postfix_str(", ".join(f"{k} {v:.4f}" for k, v in list(terms.items())[-1:]), refresh=False)
                meter.refresh()
            if self.team.leads and now - saved > 60 * train.save_every_minutes:
                self.save()
                saved = now
        meter.close()
        if self.stop.number is None:
            self._tell_if_short(phase)
            phase.trainee.end()
            self._make_alike()
            if phase.share is not None:  # the last phase goes on when there is more to spend
                at.next_phase()

    def _tell_if_short(self, phase: Phase) -> None:
        """Say when a phase got so few steps in its time that it cannot have learned."""
        steps, train = self.progress.phase_step, self.config.train
        if train.minutes > 0 and phase.share is not None and steps < min(phase.most, _LEAST_STEPS):
            print(
                f"{phase.name}: only {steps} steps fitted into its share of {train.minutes:g} minutes, and too little was learned: give more "
                "minutes, or a machine that is less busy",
                file=sys.stderr,
            )

    def _step(self, phase: Phase, done: float) -> dict[str, float]:
        """One step; one whose loss is no number changes nothing, is counted, and ends training when there are many."""
        at = self.progress
        try:
            return phase.trainee.step(Position(at.phase_step + 1, done, self.spent, at.step, at.phase))
        except NotFinite as error:
            at.skipped += 1
            if at.skipped > self.config.train.max_skipped:
                count, at.skipped = at.skipped, 0
                self.save()
                raise UserError(
                    f"training of {self.config.name} gave up after {count} steps without a usable loss ({error}): lower "
                    f"train.rate and continue; the last good weights are in {self.state_file}"
                ) from error
            return {}

    def _done(self, phase: Phase) -> float:
        """Share of a phase's budget that is spent, 0..1."""
        if phase.share is None:
            return self.spent
        return phase.spent(self.config.train, self.progress.phase_step, self.progress.phase_elapsed)

    def _account(self, phase: Phase, seconds: float) -> None:
        at = self.progress
        at.elapsed += seconds
        at.phase_elapsed += seconds
        at.phase_step += 1
        if phase.share is None or self.config.train.minutes == 0:
            at.step += 1

    def _validate(self, writer: Writer, target: Path) -> None:
        """Averaged weights, predicted shapes, on the test split, for the curves; they become `target`.

        The latest weights are kept, never the best on the test split: its figures must stay
        those of frames that nothing was chosen by.
        """
        at, train = self.progress, self.config.train
        with self.average.applied(self.model):
            metrics, picture = validate(self.model, self.context.data, self.context.index, train.validation_frames)
            for name, value in metrics.items():
                writer.add_scalar(f"validation/{name}", value, at.step)
            writer.add_image("validation/real_above_generated", picture, at.step)
            metrics |= {"steps": float(at.step), "minutes": at.elapsed / 60}
            save_checkpoint(target, self.config, self._metadata_of_use(), self.model, metrics)

    def _let_look(self, checkpoint: Path) -> None:
        """Show the checkpoint of a validation to who asked to look, once in a training and not before a picture was learned."""
        at = self.progress
        if self.look is not None and at.phase_step > 0 and not at.looked:
            at.looked = True
            self.look(checkpoint)

    def _metadata_of_use(self) -> ModelMetadata:
        """As in `metadata`, and what rendering asks of the model as it is: how the mouth rests, how well the ears agree."""
        if not isinstance(self.model, Speech2Lip):
            return self.metadata
        index, presence = self.context.index, self._presence
        rest = rest_of(self.model.basis, index.track.mouth[resting_frames(index.track.mouth, index.train, presence)])
        agreed = agreement(self.model, index.windows, index.test[presence[index.test] == 1])
        numbers = (*rest.codes.tolist(), *rest.spread.tolist())
        return dataclasses.replace(self.metadata, rest=numbers, agreement=float(np.nan_to_num(agreed)))

    def _finish(self, writer: Writer) -> None:
        """Write model.pt; the one before it is kept."""
        partial = self.folder / "model.partial.pt"
        self._validate(writer, partial)
        self._let_look(partial)
        with writing(self.model_file):
            _keep(self.model_file, self.folder / "model.prev.pt")
            os.replace(partial, self.model_file)
        if self.progress.skipped:
            print(f"{self.progress.skipped} steps were skipped, whose loss was no number")

    # -------------------------------------------------------------- state

    def save(self) -> None:
        """Write `last.pt`, from which the next run continues."""
        parts: dict[str, Any] = {"model": self.model.state_dict(), "average": self.average.values}
        parts |= {name: part.state_dict() for name, part in self._shared().items()}
        if self.progress.phase < len(self.phases) and self.progress.phase_step > 0:
            parts["phase"] = self.phases[self.progress.phase].trainee.state_dict()
        save_state(self.state_file, self.config, self._identity, parts, self.progress)

    def _restore(self) -> None:
        content = load_state(self.state_file, self.config, self._identity)
        try:
            self._restore_parts(content)
        except (LookupError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError) as error:
            reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            raise UserError(f"{self.state_file} does not fit what is trained ({reason}): {REMEDY}") from error
        print(f"{self.state_file}: continuing after {self.progress.step} steps ({self.spent:.0%} of the budget)")

    def _restore_parts(self, content: dict[str, Any]) -> None:
        """Raises whatever a part makes of a state that is not its own."""
        parts = content["parts"]
        self.progress = Progress(**content["progress"])
        self.model.load_state_dict(parts["model"])
        self.average.load_state_dict(parts["average"])
        for name, part in self._shared().items():
            part.load_state_dict(parts[name])
        if "phase" in parts:
            self._phase_to_continue().trainee.load_state_dict(parts["phase"])

    def _shared(self) -> dict[str, OwnExpert | Calibration]:
        """What outlives the phase that trains it, by its name in the state."""
        shared: dict[str, OwnExpert | Calibration] = {}
        if isinstance(self.sync, OwnExpert):
            shared["expert"] = self.sync
        if self.calibration is not None:
            shared["calibration"] = self.calibration
        return shared

    def _phase_to_continue(self) -> Phase:
        if not 0 <= self.progress.phase < len(self.phases):
            raise UserError(f"{self.state_file} stopped in a phase that today's settings do not have: {REMEDY}")
        return self.phases[self.progress.phase]


def _keep(file: Path, earlier: Path) -> None:
    """Keep what is about to be replaced under another name; it never is missing under its own."""
    if not file.is_file():
        return
    earlier.unlink(missing_ok=True)
    try:
        os.link(file, earlier)
    except OSError:  # a file system without links
        os.replace(file, earlier)


def make_context(config: Config) -> Context:
    """Subject, data and device, as the configuration says, and who computes."""
    device = join(pick_device(config.train.device))
    index = parse_subject(SubjectLayout(config.data.root), config.data.test_fraction, region_kind(config))
    backend = backend_from_params(index.subject.audio)
    return Context(
        config=config,
        index=index,
        data=SubjectDataset(index, device, config.data.memory_gb),
        device=device,
        team=Team(device),
        streams=backend.streams,
        silence=torch.as_tensor(backend.silence),
    )


def make_model(context: Context) -> LipSyncModel:
    """The networks, with what they take of the training frames as it is."""
    index, data = context.index, context.data
    metadata = metadata_of(index.subject, index.track.mouth.shape[1])
    torch.manual_seed(context.config.train.seed)  # of the first weights; what steps draw follows from the step
    model = build_model(context.config, metadata, index.canonical).to(context.device)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mouth = data.mouth[torch.from_numpy(index.train).to(context.device)]
    frames = index.train[:: max(1, len(index.train) // 256)]
    model.fit_constants(mouth, data.lips(frames).mean(0), canonical_picture(context))
    if isinstance(model, Speech2Lip):
        fit_exemplars(model, index, data)
        if prior := context.config.model.prior:
            print(start_from_prior(model.encoder, Path(prior), dict(index.subject.audio)))
    return model


def make_sync(context: Context) -> SyncObjective | None:
    """The sync expert that `sync.expert` names, where its loss counts."""
    config = context.config
    if config.loss.sync <= 0 or config.sync.expert == "none":
        return None
    if config.sync.expert != "own":
        return PublishedSync(context)
    torch.manual_seed(config.train.seed)
    metadata = metadata_of(context.index.subject, context.index.track.mouth.shape[1])
    return OwnExpert(context, build_expert(config, metadata).to(context.device))


def make_calibration(context: Context, model: LipSyncModel) -> Calibration | None:
    """How far speech can be trusted, where it predicts the shape and that is wanted."""
    train = context.config.train
    wanted = train.speech_share > 0 and train.articulate > 1
    return Calibration(context, model) if wanted and isinstance(model, Speech2Lip) else None


def make_phases(
    context: Context,
    model: LipSyncModel,
    average: Average,
    sync: SyncObjective | None,
    calibration: Calibration | None,
) -> list[Phase]:
    """What is trained, in this order: own sync expert, speech on held-out parts, speech, everything together."""
    train, loss = context.config.train, context.config.loss
    phases = sync.phases() if isinstance(sync, OwnExpert) else []
    phases += calibration.phases() if calibration is not None else []
    objectives: list[Objective] = []
    if isinstance(model, Speech2Lip):
        if train.speech_share > 0:
            speech = SpeechTraining(context, model, context.index.train, average)
            phases.append(Phase("speech", speech, train.speech_share, speech.most))
        objectives += [SpeechObjective(context)] if loss.shape > 0 else []
    objectives.append(PictureObjective(context, model))
    objectives += [DepthObjective(context)] if loss.depth > 0 else []
    joint = JointTraining(context, model, average, objectives, sync)
    return [*phases, Phase("training", joint, None, 0, validates=True)]


def _log(writer: Writer, phase: Phase, terms: dict[str, float], step: int) -> None:
    for name, value in terms.items():
        writer.add_scalar(f"{phase.name}/{name}", value, step)

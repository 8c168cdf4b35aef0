"""A run kept in memory: one thread predicts the images of many requests in batches, and draws their maps in between."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

from PIL import Image

from fototeca.analysis.attribution.explain import draw_maps
from fototeca.analysis.evaluation.predictions import find_run
from fototeca.analysis.predict.inputs import MAX_BATCH_SIZE, InputImage, is_full
from fototeca.analysis.predict.predict import Predictor
from fototeca.analysis.predict.results import Prediction
from fototeca.core.errors import ExternalError, FototecaError
from fototeca.core.workspace import Workspace

METHOD = "grad-cam"
"""Attribution method of the maps."""


@dataclass(frozen=True)
class _Predict:
    item: InputImage
    future: Future[Prediction] = field(default_factory=Future)


@dataclass(frozen=True)
class _Explain:
    image: Image.Image
    category: str
    future: Future[Image.Image] = field(default_factory=Future)


class ServedRun:
    """A finished run with its model, calibration and detectors in memory. Thread-safe.

    Images that wait while a batch is predicted form the next batch, of up to MAX_BATCH_SIZE. Images of the test split count as
    one access to test for the whole time that the run is served. Create all runs of a server before the first request.

    Example:
        >>> served = ServedRun(Workspace.find(), "resnet18-finetune-v001-91c0aa")
        >>> served.predict(decode_input("photo.jpg", data)).result().label
        'pug'
        >>> served.close()
    """

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self.run = find_run(workspace, run_id)
        self._predictor = Predictor.open(workspace, self.run, (), None)
        self._predictor.model.predict([Image.new("RGB", (64, 64))])  # folds batch norms here: torch.fx is not safe with threads
        self.has_maps = self._predictor.model.module is not None
        self._queue: queue.SimpleQueue[_Predict | _Explain | None] = queue.SimpleQueue()
        self._running: deque[_Predict] = deque()
        self._is_closed = False
        self._thread = threading.Thread(target=self._work, name=f"fototeca-serve-{run_id}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Number of requested images and maps that no batch has taken yet."""
        return self._queue.qsize()

    def predict(self, item: InputImage) -> Future[Prediction]:
        """Request the prediction of a decoded image; of an image with a `reason`, a prediction with that reason."""
        job = _Predict(item)
        self._put(job)
        return job.future

    def explain(self, image: Image.Image, category: str) -> Future[Image.Image]:
        """Request the map of a category over the image as the model sees it. FototecaError if the run has no maps."""
        if not self.has_maps:
            raise FototecaError(f"{self.run.id} has no attribution maps", "serve a run of a neural network")
        job = _Explain(image, category)
        self._put(job)
        return job.future

    def close(self) -> None:
        """End the thread and record the access to test, if there was one; waiting requests fail."""
        self._is_closed = True
        self._queue.put(None)
        self._thread.join()

    def _put(self, job: _Predict | _Explain) -> None:
        if self._is_closed:
            raise ExternalError("the server is stopping")
        self._queue.put(job)

    def _work(self) -> None:
        """Predict until closed. An error, such as a lack of memory, fails the requests of its batch only."""
        while not self._is_closed:
            try:
                for prediction, _ in self._predictor.predict(self._batches(), None):
                    self._running.popleft().future.set_result(prediction)
            except Exception as error:
                while self._running:
                    self._running.popleft().future.set_exception(error)
        while not self._queue.empty():
            job = self._queue.get()
            if job is not None:
                job.future.set_exception(ExternalError("the server is stopping"))

    def _batches(self) -> Iterator[list[InputImage]]:
        """Yield what waits as a batch; draw maps while no batch is predicted."""
        while (job := self._queue.get()) is not None:
            batch: list[_Predict] = []
            while job is not None:
                if isinstance(job, _Explain):
                    self._draw(job)
                else:
                    batch.append(job)
                if len(batch) == MAX_BATCH_SIZE or is_full([one.item for one in batch]) or self._queue.empty():
                    break
                job = self._queue.get()
            if batch:
                self._running.extend(batch)
                yield [one.item for one in batch]
            if job is None:
                return

    def _draw(self, job: _Explain) -> None:
        try:
            model = self._predictor.model
            target = self.run.categories.index(job.category)
            maps = draw_maps(model, model.preprocessing(job.image), target, [METHOD])
            job.future.set_result(maps.maps[METHOD])
        except Exception as error:
            job.future.set_exception(error)

"""Train several runs, in parallel processes where cores and memory allow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from io import TextIOWrapper
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from threading import Thread

import psutil
import torch

from fototeca.core.errors import FototecaError
from fototeca.core.files import write_text
from fototeca.core.workspace import Workspace
from fototeca.train.config import TrainConfig
from fototeca.train.runs import Run, read_run
from fototeca.train.trainer import train_run

CORES_PER_RUN = 4
"""Cores that one run on a CPU uses efficiently; with fewer per run, parallel runs are not faster."""

MEMORY_PER_RUN = 4 * 2**30
"""Bytes that one run needs at most (bench/train.py)."""

RunOrError = Run | FototecaError


def default_jobs() -> int:
    """Return how many runs to train in parallel: one per GPU, else one per CORES_PER_RUN and MEMORY_PER_RUN of free memory."""
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return max(1, min((os.cpu_count() or 1) // CORES_PER_RUN, int(psutil.virtual_memory().available // MEMORY_PER_RUN)))


def train_each(workspace: Workspace, configs: Sequence[TrainConfig], jobs: int) -> Iterator[RunOrError]:
    """Train each configuration, `jobs` in parallel, and yield the runs in order, or the error where one failed or was killed.

    With one job, runs are trained in this process; if it is killed, the same call later trains that run in a process of its own.
    """
    if jobs == 1:
        marker = workspace.runs / "in-progress.txt"
        killed = marker.read_text(encoding="utf-8") if marker.is_file() else ""
        for config in configs:
            write_text(marker, repr(config))
            try:
                result = (_train_in_own_process if repr(config) == killed else _train)(workspace, config)
            finally:  # a killed process leaves the marker
                marker.unlink(missing_ok=True)
            yield result
        return
    context, counter = get_context("spawn"), get_context("spawn").Value("i", 0)
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(jobs, counter)) as pool:
        futures = [pool.submit(_train_in_worker, workspace.root, config) for config in configs]
        try:
            for config, future in zip(configs, futures, strict=True):
                # a killed process breaks its pool; the remaining runs are trained one by one
                yield _get_result(workspace, future) or _train_in_own_process(workspace, config)
        except BaseException:  # an interrupt does not wait for queued runs; killed ones can be resumed
            for worker in active_children():
                worker.kill()
            raise


def _train(workspace: Workspace, config: TrainConfig) -> RunOrError:
    try:
        return train_run(workspace, config)
    except Exception as error:  # one failed run must not end the others
        return as_fototeca_error(error)


def as_fototeca_error(error: Exception) -> FototecaError:
    """Return the reason of a failed run in one line; for an unexpected exception, with a hint how to get its traceback."""
    if isinstance(error, FototecaError):
        return error
    first = (str(error).splitlines() or [""])[0]
    return FototecaError(f"{type(error).__name__}: {first}", "train it alone with fototeca train run to see the traceback")


def _train_in_worker(root: Path, config: TrainConfig) -> tuple[str, str, str]:
    """Train in a worker process; return the run's id, or the message and hint of an error."""
    result = _train(Workspace(root), config)
    return ("", result.message, result.hint) if isinstance(result, FototecaError) else (result.id, "", "")


def _train_in_own_process(workspace: Workspace, config: TrainConfig) -> RunOrError:
    """Train in a new process, which may be killed without ending this one."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        result = _get_result(workspace, pool.submit(_train_in_worker, workspace.root, config))
    hint = "use a smaller --batch-size or --image-size"
    return result or FototecaError("the run was killed, possibly for lack of memory", hint)


def _get_result(workspace: Workspace, future: Future[tuple[str, str, str]]) -> RunOrError | None:
    """Return the run or error of a worker; None if its process was killed."""
    try:
        run, message, hint = future.result()
    except BrokenProcessPool:
        return None
    return read_run(workspace, run) if run else FototecaError(message, hint)


def _start_worker(jobs: int, counter: object) -> None:
    """Set up a worker process: its own GPU, its share of the cores, and no progress bars, which would overwrite each other."""
    _end_with_parent()
    sys.stderr = _NoTerminal(sys.stderr.buffer, encoding="utf-8", line_buffering=True)
    with counter.get_lock():  # type: ignore[attr-defined]
        number = counter.value  # type: ignore[attr-defined]
        counter.value += 1  # type: ignore[attr-defined]
    if (num_gpus := torch.cuda.device_count()) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = assign_gpu(number, num_gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))


def _end_with_parent() -> None:
    """Exit when the parent process ends, so that a killed sweep leaves no process behind."""
    parent = parent_process()
    assert parent is not None

    def exit_after_parent() -> None:
        parent.join()
        os._exit(1)

    Thread(target=exit_after_parent, daemon=True).start()


class _NoTerminal(TextIOWrapper):
    """A stream that shows lines but no progress bars."""

    def isatty(self) -> bool:
        """Return False."""
        return False


def assign_gpu(number: int, num_gpus: int, visible: str | None) -> str:
    """Return the GPU of the `number`th process, round-robin, as CUDA_VISIBLE_DEVICES (`visible`) names it."""
    names = visible.split(",") if visible else [str(index) for index in range(num_gpus)]
    return names[number % num_gpus].strip()

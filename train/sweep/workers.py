"""Several runs at once, each in a process of its own, where cores and memory allow."""

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

CORES = 4
"""Cores that one run on a CPU can use well: below that, two at once only wait for one another."""

MEMORY = 4 * 2**30
"""Bytes that one run takes, with room to spare (bench/train.py)."""

Result = Run | FototecaError


def jobs_at_once() -> int:
    """Runs that this machine can train at once: one per GPU, else one per CORES cores and MEMORY of free memory."""
    if torch.cuda.is_available():
        return torch.cuda.device_count()
    return max(1, min((os.cpu_count() or 1) // CORES, int(psutil.virtual_memory().available // MEMORY)))


def train_each(workspace: Workspace, configs: Sequence[TrainConfig], jobs: int) -> Iterator[Result]:
    """Train each, `jobs` at once; what came of each, in their order. One that fails, or is killed, does not end the others.

    One at a time are trained by this process, which a kill ends too; the same call then trains that run apart.
    """
    if jobs == 1:
        mark = workspace.runs / "under-way.txt"
        cut_off = mark.read_text(encoding="utf-8") if mark.is_file() else ""
        for config in configs:
            write_text(mark, repr(config))
            try:
                outcome = (_alone if repr(config) == cut_off else _attempt)(workspace, config)
            finally:  # a kill leaves it
                mark.unlink(missing_ok=True)
            yield outcome
        return
    context, turns = get_context("spawn"), get_context("spawn").Value("i", 0)
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare, initargs=(jobs, turns)) as pool:
        waiting = [pool.submit(_apart, workspace.root, config) for config in configs]
        try:
            for config, future in zip(configs, waiting, strict=True):
                # a process that is killed takes its pool along: those left over are trained one by one
                yield _outcome(workspace, future) or _alone(workspace, config)
        except BaseException:  # whoever interrupts does not wait for what is queued; a run that is killed goes on another time
            for worker in active_children():
                worker.kill()
            raise


def _attempt(workspace: Workspace, config: TrainConfig) -> Result:
    try:
        return train_run(workspace, config)
    except Exception as error:  # whatever ends one run must not end the others
        return told(error)


def told(error: Exception) -> FototecaError:
    """Why a run ended, in one line; for what nobody foresaw, how to see where."""
    if isinstance(error, FototecaError):
        return error
    first = (str(error).splitlines() or [""])[0]
    return FototecaError(f"{type(error).__name__}: {first}", "train it alone, by fototeca train run, to see where")


def _apart(root: Path, config: TrainConfig) -> tuple[str, str, str]:
    """In another process: the run's id, or what is wrong and what to do."""
    result = _attempt(Workspace(root), config)
    return ("", result.message, result.hint) if isinstance(result, FototecaError) else (result.id, "", "")


def _alone(workspace: Workspace, config: TrainConfig) -> Result:
    """In a process of its own, so that it can be killed without harm."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        result = _outcome(workspace, pool.submit(_apart, workspace.root, config))
    return result or FototecaError("the run was killed, perhaps for memory", "use a smaller --batch-size or --image-size")


def _outcome(workspace: Workspace, future: Future[tuple[str, str, str]]) -> Result | None:
    try:
        run, message, hint = future.result()
    except BrokenProcessPool:
        return None
    return read_run(workspace, run) if run else FototecaError(message, hint)


def _prepare(jobs: int, turns: object) -> None:
    """Begin a process: its own GPU, its share of the cores, no progress bars that write over one another's."""
    _end_with_parent()
    sys.stderr = _NoTerminal(sys.stderr.buffer, encoding="utf-8", line_buffering=True)
    with turns.get_lock():  # type: ignore[attr-defined]
        number = turns.value  # type: ignore[attr-defined]
        turns.value += 1  # type: ignore[attr-defined]
    if (there := torch.cuda.device_count()) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of(number, there, os.environ.get("CUDA_VISIBLE_DEVICES"))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))


def _end_with_parent() -> None:
    """A sweep that is killed leaves no process behind that trains on, unseen, and keeps its memory."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


class _NoTerminal(TextIOWrapper):
    """What lines are written to, and bars are not."""

    def isatty(self) -> bool:
        """No."""
        return False


def gpu_of(number: int, there: int, visible: str | None) -> str:
    """The GPU of a process, in turn: one of those that are there, by the names that CUDA_VISIBLE_DEVICES gave them."""
    names = visible.split(",") if visible else [str(index) for index in range(there)]
    return names[number % there].strip()

"""Names of runs as people say them: `ResNet-18 · fine-tuned` for `resnet18-finetune-v001-91c0aa`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fototeca.analysis.i18n import Texts
from fototeca.analysis.model_titles import model_title
from fototeca.analysis.run_settings import ensemble_method, setting_text, shown_settings
from fototeca.train.runs import Run


def name_runs(runs: Sequence[Run], texts: Texts) -> dict[str, str]:
    """Return a distinct name for each run by its id: model and regime, then the settings in which equal names differ."""
    names = {run.id: _base_name(run, texts) for run in runs}
    for alike in _groups(runs, names):
        settings = {run.id: {name: setting_text(texts, run, name) for name in shown_settings(run)} for run in alike}
        every = dict.fromkeys(name for shown in settings.values() for name in shown)
        differing = [name for name in every if len({shown.get(name) for shown in settings.values()}) > 1]
        for run in alike:
            parts = [_setting_part(texts, name, settings[run.id][name]) for name in differing if name in settings[run.id]]
            names[run.id] = " · ".join([names[run.id], *parts])
    for alike in _groups(runs, names):
        for run in alike:
            names[run.id] = f"{names[run.id]} · {run.id.rpartition('-')[2]}"
    return names


def _groups(runs: Sequence[Run], names: dict[str, str]) -> Iterable[list[Run]]:
    """Yield the runs that have the same name."""
    groups: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        groups[names[run.id]].append(run)
    return [group for group in groups.values() if len(group) > 1]


def _base_name(run: Run, texts: Texts) -> str:
    if run.regime == "ensemble":
        return texts(f"run_name.{ensemble_method(run)}", n=len(run.config.get("members") or run.config.get("soup") or ()))
    return f"{model_title(run.model_name)} · {texts(f'regime.{run.regime}')}"


def _setting_part(texts: Texts, name: str, value: str) -> str:
    """Return a setting in a name: the value alone where it says what it is."""
    return value if name in ("head", "augment", "optimizer") else f"{texts(f'setting.{name}')} {value}"

"""All jobs, by the words that ask for them; a job's module is loaded when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge.jobs.base import Job

JOBS: Final[Mapping[tuple[str, ...], str]] = MappingProxyType(
    {
        ("predict",): "bridge.jobs.predict:Predict",
        ("demo",): "bridge.jobs.demo:Demo",
        ("localize",): "bridge.jobs.localize:Localize",
        ("filter",): "bridge.jobs.filter:Filter",
        ("link",): "bridge.jobs.link:Link",
        ("drift",): "bridge.jobs.drift:Drift",
        ("render",): "bridge.jobs.render:Render",
        ("convert",): "bridge.jobs.convert:Convert",
        ("simulate",): "bridge.jobs.simulate:Simulate",
        ("evaluate",): "bridge.jobs.evaluate:Evaluate",
        ("explain",): "bridge.jobs.explain:Explain",
        ("compare",): "bridge.jobs.compare:Compare",
        ("verify",): "bridge.jobs.verify:Verify",
        ("compare-localizers",): "bridge.jobs.compare_localizers:CompareLocalizers",
        ("pairs",): "bridge.jobs.pairs:Pairs",
        ("degrade",): "bridge.jobs.degrade:Degrade",
        ("detect",): "bridge.jobs.detect:Detect",
        ("models", "list"): "bridge.jobs.models:ListModels",
        ("models", "info"): "bridge.jobs.models:DescribeModel",
        ("models", "check"): "bridge.jobs.models:CheckModel",
        ("models", "add"): "bridge.jobs.models:AddModel",
        ("models", "remove"): "bridge.jobs.models:RemoveModel",
        ("train",): "bridge.jobs.train:Train",
        ("package",): "bridge.jobs.train:PackageRun",
        ("doctor",): "bridge.jobs.doctor:Doctor",
        ("fiji", "install"): "bridge.fiji.jobs:FijiInstall",
        ("fiji", "uninstall"): "bridge.fiji.jobs:FijiUninstall",
        ("fiji", "doctor"): "bridge.fiji.jobs:FijiDoctor",
        ("fiji", "launchers"): "bridge.fiji.jobs:FijiLaunchers",
        ("fiji", "macro"): "bridge.fiji.macro_job:RunMacro",
    }
)
"""Command words to ``module:Class``, in the order of the help."""

GROUPS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "models": "See, check and install model packages.",
        "fiji": "Install zoobridge into Fiji, and run its macros.",
    }
)
"""First words that several commands share, with their help."""


def load_job(command: tuple[str, ...], jobs: Mapping[tuple[str, ...], str] = JOBS) -> type[Job]:
    """Import the job that a command asks for.

    Parameters
    ----------
    command : tuple of str
        Command words, such as ``("models", "list")``; must be in ``jobs``.
    jobs : mapping
        Command words to ``module:Class``.

    Returns
    -------
    type of Job
        The job's class; its heavy imports wait for its ``run``.
    """
    module, _, name = jobs[command].partition(":")
    job = getattr(importlib.import_module(module), name)
    if not (isinstance(job, type) and issubclass(job, Job)):
        raise TypeError(f"{jobs[command]} is not a Job")
    return job

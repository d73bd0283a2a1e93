"""The engine that a recipe asks for."""

from __future__ import annotations

from redink.stages.engine import LOCAL, Engine, EngineSettings
from redink.stages.ray_engine import RayEngine


def engine_of(settings: EngineSettings) -> Engine:
    """The engine of these settings; Ray is imported only where it is asked for. Raises `Failure` if it is missing."""
    return LOCAL if settings.kind == "local" else RayEngine(settings)

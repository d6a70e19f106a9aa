"""Prefect flows: when and where the pipeline runs. No machine learning here."""

from flows.settings import require_readable_settings

require_readable_settings()

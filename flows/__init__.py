"""When and where the pipeline runs: Prefect flows. No machine learning here."""

from flows.settings import require_readable_settings

require_readable_settings()

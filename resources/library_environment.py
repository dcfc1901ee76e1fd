"""Variables that third-party libraries read when they are imported or used, set for this process and its children.

Nothing is read here: our own settings are in `settings`.
"""

from __future__ import annotations

import os


def silence_library_telemetry() -> None:
    """Tell every library that would report home that it may not."""
    os.environ.update(
        DAGSTER_DISABLE_TELEMETRY="yes",
        GX_ANALYTICS_ENABLED="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="1",
        RUNTIME__DLTHUB_TELEMETRY="false",
    )


def set_library_environment() -> None:
    """Variables that third-party libraries read at import: MLflow unpickles nothing and sends no telemetry."""
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"


def share_the_c_heap_with_arrow() -> None:
    """Let Arrow allocate from the C library's heap; without effect once pyarrow is loaded."""
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"


def use_plain_s3_checksums() -> None:
    """Let S3 clients checksum uploads only where the operation requires it; a value already set stays.

    The AWS SDK's default sends checksum trailers, which S3 servers other than AWS answer with HTTP 411. It is
    read from the environment alone, whenever a client is made.
    """
    os.environ.setdefault("AWS_REQUEST_CHECKSUM_CALCULATION", "WHEN_REQUIRED")

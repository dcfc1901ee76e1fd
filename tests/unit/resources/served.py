"""A real tenant plane on a real port, in a thread of the test. No tests here."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from resources.plane_settings import TenantPlaneSettings
from tenant_plane.app import create_app
from tenant_plane.database import create_engine, migrate
from tests.support.served_app import served

SERVICE_TOKEN = "service-token"
SIGNING_KEY = "signing-key"


def write_credentials(
    tenants_dir: Path, tenant_id: str, plane_url: str, signing_key: str = SIGNING_KEY
) -> None:
    """What provisioning writes for the global plane."""
    directory = tenants_dir / tenant_id
    directory.mkdir(parents=True, exist_ok=True)
    document = {"service_token": SERVICE_TOKEN, "signing_key": signing_key, "plane_url": plane_url}
    (directory / "global.json").write_text(json.dumps(document))


@contextlib.contextmanager
def served_plane(tenants_dir: Path, tenant_id: str, home: Path) -> Iterator[str]:
    """A real tenant plane on its own database, known to the global plane under `tenants_dir`."""
    settings = TenantPlaneSettings.model_validate(
        {
            "id": tenant_id,
            "home": home,
            "port": 1,
            "ingest_url": "http://127.0.0.1:9",
            "ingest_token": "ingest-token",
            "service_token": SERVICE_TOKEN,
            "signing_key": SIGNING_KEY,
            "admin_password_hash": "$argon2id$nobody-signs-in-here",
            "session_key": "a-session-key-of-at-least-32-bytes-length",
        }
    )
    engine = create_engine(settings)
    migrate(engine, settings)
    engine.dispose()
    with served(create_app(settings)) as url:
        write_credentials(tenants_dir, tenant_id, url)
        yield url

"""What sqlfluff puts in the place of dbt's `var()`: the defaults of dbt_project.yml. dbt itself reads none of this."""

from pathlib import Path
from typing import Any

import yaml

_VARS = yaml.safe_load((Path(__file__).parents[1] / "dbt_project.yml").read_text())["vars"]


def var(name: str, default: Any = None) -> Any:
    """The default of a var."""
    return _VARS.get(name, default)

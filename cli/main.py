"""The `unmogrowp` command line: registers every command. Commands live in their own modules."""

from __future__ import annotations

import sys

import typer

from cli.attribution import attribution_app
from cli.audit import audit_app
from cli.backfill import backfill_command
from cli.bench import bench_command
from cli.billing import alerts_command, invoice_command, quota_command, usage_command
from cli.demo import demo_command
from cli.destinations import destination_app
from cli.drill import drill_command
from cli.exports import exports_app
from cli.import_events import import_command
from cli.keyring import keyring_app
from cli.keys import key_app
from cli.ledger import ledger_command
from cli.maintain import maintain_command
from cli.output import stderr
from cli.quarantine import quarantine_app
from cli.query import lake_command, sql_command
from cli.restate import restate_command
from cli.roles import roles_command
from cli.rules import rules_app
from cli.schema import schema_app
from cli.sign_in import login_command, logout_command, token_command, whoami_command
from cli.simulate import simulate_command
from cli.skan import skan_app
from cli.stack import down_command, status_command, up_command
from cli.tenant import tenant_app
from cli.tenant_roll import roll_command
from cli.trace import trace_app
from cli.users import user_app
from resources.errors import UnMoGrowPError

app = typer.Typer(
    name="unmogrowp",
    help="An open lakehouse for mobile growth attribution: events in, attributed marts and scores out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("demo")(demo_command)
app.command("up")(up_command)
app.command("down")(down_command)
app.command("status")(status_command)
app.command("simulate")(simulate_command)
app.command("import")(import_command)
app.command("backfill")(backfill_command)
app.command("ledger")(ledger_command)
app.command("usage")(usage_command)
app.command("invoice")(invoice_command)
app.command("sql")(sql_command)
app.command("lake")(lake_command)
app.command("bench")(bench_command)
app.command("drill")(drill_command)
app.command("maintain")(maintain_command)
app.command("login")(login_command)
app.command("logout")(logout_command)
app.command("whoami")(whoami_command)
app.command("token")(token_command)
app.command("roles")(roles_command)
app.add_typer(attribution_app, name="attribution")
app.add_typer(audit_app, name="audit")
app.add_typer(schema_app, name="schema")
app.add_typer(quarantine_app, name="quarantine")
tenant_app.command("roll")(roll_command)
tenant_app.command("quota")(quota_command)
tenant_app.command("quota-alerts")(alerts_command)
app.add_typer(tenant_app, name="tenant")
app.add_typer(user_app, name="user")
app.add_typer(key_app, name="key")
rules_app.command("restate")(restate_command)
app.add_typer(destination_app, name="destination")
app.add_typer(exports_app, name="exports")
app.add_typer(rules_app, name="rules")
app.add_typer(skan_app, name="skan")
app.add_typer(trace_app, name="trace")
app.add_typer(keyring_app, name="keyring")


def main() -> None:
    """Run the command; a domain error becomes one sentence and exit code 1."""
    try:
        app()
    except UnMoGrowPError as error:
        stderr.print(f"[bold red]error:[/] {error}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()

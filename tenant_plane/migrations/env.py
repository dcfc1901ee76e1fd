"""Alembic's entry: runs the versions on the connection that `tenant_plane.database.migrate` hands over."""

from alembic import context

from tenant_plane.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()

"""Alembic's entry: runs migrations on the connection that `resources.registry.engine.migrate` hands in."""

from alembic import context

from resources.registry.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table="registry_alembic_version",  # the database may be shared with the catalog or the vault
    transactional_ddl=True,  # SQLite can roll DDL back too, once the driver leaves BEGIN to us
)
with context.begin_transaction():
    context.run_migrations()

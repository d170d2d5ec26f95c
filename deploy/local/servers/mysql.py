"""MySQL: durable, GTID, row binlog; the same settings on 8.0 and 9.x."""

import os
import shutil
import threading

from runtime.files import write_atomic
from runtime.ports import HOST
from runtime.process import server_environment
from runtime.tools import run_tool
from servers.base import Server
from servers.mysql_wire import Connection, MySqlError

APP_USER = "headgate"
APP_PASSWORD = "headgate"
DATABASE = "headgate"
ADMIN_USER = "root"
ADMIN_PASSWORD = "headgate"
INITIALISE_SECONDS = 120

CONFIGURATION = """\
[mysqld]
{user_line}
basedir={home}
lc-messages-dir={home}/share
character-sets-dir={home}/share/charsets
plugin-dir={home}/plugin
datadir={data}
socket={socket}
pid-file={folder}/mysqld.pid
port={port}
bind-address={host}
mysqlx=OFF
secure-file-priv=NULL
skip-name-resolve=ON
max_connections=500
back_log=1024
default-time-zone=+00:00
log_timestamps=UTC
character-set-server=utf8mb4
collation-server=utf8mb4_0900_ai_ci

# Durable: what was committed survives a kill and a power cut.
innodb_flush_log_at_trx_commit=1
sync_binlog=1
innodb_flush_method=O_DIRECT

server-id=1
log-bin=binlog
binlog_format=ROW
gtid_mode=ON
enforce_gtid_consistency=ON
binlog_expire_logs_seconds={binlog_keep_seconds}
max_binlog_size=128M

innodb_buffer_pool_size={buffer_pool}
innodb_redo_log_capacity={redo}
innodb_buffer_pool_dump_at_shutdown=OFF
innodb_buffer_pool_load_at_startup=OFF
performance_schema={performance_schema}
"""

# One statement a line, as --init-file wants it. Host '%' is every client of the loopback
# interface: the server listens nowhere else. Tests make a database each: headgate%.
ACCOUNTS = f"""\
CREATE DATABASE {DATABASE};
CREATE USER '{APP_USER}'@'%' IDENTIFIED BY '{APP_PASSWORD}';
GRANT ALL ON `{DATABASE}%`.* TO '{APP_USER}'@'%';
CREATE USER '{ADMIN_USER}'@'%' IDENTIFIED BY '{ADMIN_PASSWORD}';
GRANT ALL ON *.* TO '{ADMIN_USER}'@'%' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY '{ADMIN_PASSWORD}';
"""


class MySql(Server):
    name = "mysql"
    port_names = ("mysql",)
    ready_seconds = 120.0  # crash recovery of a large redo log on a busy disk
    stop_seconds = 60.0

    def prepare(self, cancelled: threading.Event) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self.folder / "my.cnf", self._configuration(self.data))
        # A killed server leaves its number there, and refuses to start while a process has that
        # number: itself, as long as nobody has collected it. The data's own locks stay.
        socket = self.run.socket(self.name)
        socket.with_name(f"{socket.name}.lock").unlink(missing_ok=True)
        if not self.data.exists():
            self._initialise(cancelled)

    def command(self) -> list[str]:
        return [str(self.home / "bin" / "mysqld"), f"--defaults-file={self.folder / 'my.cnf'}"]

    def answers(self) -> bool:
        """As the application: first through the socket (which warms the password cache), then TCP."""
        for address in (str(self.run.socket(self.name)), (HOST, self.port)):
            try:
                with Connection(address, APP_USER, APP_PASSWORD, DATABASE) as connection:
                    if connection.query("SELECT 1") != [["1"]]:
                        return False
            except (OSError, MySqlError):
                return False
        return True

    def after_ready(self) -> None:
        # The administrator's first login through the socket, for the same cache.
        self.admin("SELECT 1")

    def admin(self, statement: str) -> list[list[str | None]]:
        with Connection(str(self.run.socket(self.name)), ADMIN_USER, ADMIN_PASSWORD) as connection:
            return connection.query(statement)

    def execute(self, statement: str) -> tuple[list[list[str | None]], int]:
        """As the application's user, in its database: the rows, and how many were changed."""
        with Connection(str(self.run.socket(self.name)), APP_USER, APP_PASSWORD, DATABASE) as connection:
            return connection.query(statement), connection.rows_changed

    def environment(self) -> dict[str, str]:
        values = {
            "MYSQL_URL": f"mysql://{APP_USER}:{APP_PASSWORD}@{HOST}:{self.port}/{DATABASE}",
            "MYSQL_ADMIN_URL": f"mysql://{ADMIN_USER}:{ADMIN_PASSWORD}@{HOST}:{self.port}/mysql",
            "MYSQL_SOCKET": str(self.run.socket(self.name)),
        }
        client = self.home / "bin" / "mysql"
        if client.exists():
            values["HEADGATE_MYSQL_CLIENT"] = str(client)
        return values

    def _configuration(self, data) -> str:
        return CONFIGURATION.format(
            # The server refuses to run as root unless told so.
            user_line="user=root" if os.getuid() == 0 else "",
            home=self.home, folder=self.folder, data=data, socket=self.run.socket(self.name),
            port=self.port, host=HOST, buffer_pool=self.profile.mysql_buffer_pool,
            redo=self.profile.mysql_redo,
            performance_schema=self.profile.mysql_performance_schema,
            binlog_keep_seconds=self.profile.mysql_binlog_keep_seconds)

    def _initialise(self, cancelled: threading.Event) -> None:
        """Under another name until complete: an interrupted first start leaves no half database."""
        half = self.folder / "data.new"
        shutil.rmtree(half, ignore_errors=True)
        accounts = self.folder / "accounts.sql"
        write_atomic(accounts, ACCOUNTS, mode=0o600)
        configuration = self.folder / "initialise.cnf"
        write_atomic(configuration, self._configuration(half))
        run_tool([self.home / "bin" / "mysqld", f"--defaults-file={configuration}",
                  "--initialize-insecure", f"--init-file={accounts}"],
                 log=self.process.log_file, seconds=INITIALISE_SECONDS,
                 what="mysql: creating the data folder", environment=server_environment(),
                 cwd=self.folder, cancelled=cancelled)
        half.rename(self.data)

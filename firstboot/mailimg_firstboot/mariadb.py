"""The database server of the machine, through its socket as root.

There is no password: accounts are those of the operating system.
"""

from typing import Any, Callable

# Seconds for a statement: a server that has just recovered answers slowly, and none of these is large.
TIMEOUT = 120.0

# Asks for what `create` makes; a line for each part that is there. In words that MariaDB 5.5 of CentOS 7 knows, where
# the plugin by which accounts of the operating system are recognised comes with the server but has to be switched on,
# and where a new server has accounts for everybody, root among them, that ask for nothing: `lock`: there is none left.
PARTS = ("plugin", "lock", "database", "account", "rights")
LOOK = (
    "SELECT 'plugin' FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'unix_socket' AND PLUGIN_STATUS = 'ACTIVE'"
    " UNION SELECT 'lock' FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM mysql.user WHERE Password = '' AND plugin = '')"
    " UNION SELECT 'database' FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'"
    " UNION SELECT 'account' FROM mysql.user WHERE User = '{account}' AND Host = 'localhost' AND plugin = 'unix_socket'"
    " UNION SELECT 'rights' FROM mysql.db WHERE Db = '{name}' AND User = '{account}' AND Host = 'localhost'"
    " AND Select_priv = 'Y' AND Insert_priv = 'Y' AND Create_priv = 'Y' AND Alter_priv = 'Y'"
)
PLUGIN = "INSTALL SONAME 'auth_socket'; "
LOCK = (
    "GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' IDENTIFIED VIA unix_socket WITH GRANT OPTION; "
    "DELETE FROM mysql.user WHERE Password = '' AND plugin = ''; FLUSH PRIVILEGES; "
)


class MariaDB:
    """A server on this machine; `run` is `Host.run`. Names must be checked: they stand in statements as they are."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def missing(self, client: str, socket: str, name: str, account: str) -> str:
        """What of a database, its account and its rights is not there; empty when nothing is."""
        said = self._ask(client, socket, LOOK.format(name=name, account=account), "look for database {}".format(name))
        return ", ".join(part for part in PARTS if part not in said.split())

    def create(self, client: str, socket: str, name: str, account: str) -> None:
        """Make what `missing` names; what is there stays as it is."""
        missing = self.missing(client, socket, name, account).split(", ")
        before = (PLUGIN if "plugin" in missing else "") + (LOCK if "lock" in missing else "")
        self._ask(client, socket, before + (
            "CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;"
            # The account is whoever has this name in the operating system: no password exists that could leak.
            " GRANT ALL PRIVILEGES ON `{name}`.* TO '{account}'@'localhost' IDENTIFIED VIA unix_socket;"
        ).format(name=name, account=account), "create database {}".format(name))

    def close(self, client: str, socket: str, name: str, account: str) -> None:
        """Take the account away if it is there; the data stays."""
        if "account" not in self.missing(client, socket, name, account).split(", "):
            statement = "DROP USER '{}'@'localhost';".format(account)
            self._ask(client, socket, statement, "remove account {}".format(account))

    def _ask(self, client: str, socket: str, statement: str, what: str) -> str:
        argv = [client, "--no-defaults", "--protocol=socket", "--socket=" + socket, "--user=root", "--batch",
                "--skip-column-names", "--execute", statement]
        return str(self._run(argv, what, TIMEOUT).out.decode("utf-8", "replace"))

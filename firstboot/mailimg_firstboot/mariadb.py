"""The database server of the machine, through its socket as root.

There is no password: accounts are those of the operating system. The statements are those that MariaDB 5.5 has: no
CREATE USER IF NOT EXISTS; it is GRANT that makes an account.
"""

from typing import Any, Callable, Dict

# Seconds for a statement: a server that has just recovered answers slowly, and none of these is large.
TIMEOUT = 120.0

# Asks for what `create` makes; a line for each part that is there.
PARTS = ("database", "account", "rights")
LOOK = (
    "SELECT 'database' FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'"
    " UNION SELECT 'account' FROM mysql.user WHERE User = '{account}' AND Host = 'localhost' AND plugin = 'unix_socket'"
    " UNION SELECT 'rights' FROM mysql.db WHERE Db = '{name}' AND User = '{account}' AND Host = 'localhost'"
    " AND Select_priv = 'Y' AND Insert_priv = 'Y' AND Create_priv = 'Y' AND Alter_priv = 'Y'"
)

# Counters of the server, and how they are asked for.
COUNTERS = ("Questions", "Slow_queries", "Threads_connected")
FIGURES = "SHOW GLOBAL STATUS WHERE Variable_name IN ({})".format(", ".join("'{}'".format(one) for one in COUNTERS))


class MariaDB:
    """A server on this machine; `run` is `Host.run`. Names must be checked: they stand in statements as they are."""

    def __init__(self, run: Callable[..., Any]) -> None:
        self._run = run

    def missing(self, client: str, socket: str, name: str, account: str) -> str:
        """What of a database, its account and its rights is not there; empty when nothing is."""
        said = self._ask(client, socket, LOOK.format(name=name, account=account), "look for database {}".format(name))
        return ", ".join(part for part in PARTS if part not in said.split())

    def create(self, client: str, socket: str, name: str, account: str, charset: str) -> None:
        """Make what `missing` names; what is there stays as it is. `charset` is a new database's: utf8mb4 or utf8."""
        self._ask(client, socket, (
            "CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET {charset} COLLATE {charset}_unicode_ci;"
            # The account is whoever has this name in the operating system: no password exists that could leak.
            " GRANT ALL PRIVILEGES ON `{name}`.* TO '{account}'@'localhost' IDENTIFIED VIA unix_socket;"
        ).format(name=name, account=account, charset=charset), "create database {}".format(name))

    def close(self, client: str, socket: str, name: str, account: str) -> None:
        """Take the account away if it is there; the data stays."""
        if "account" not in self.missing(client, socket, name, account).split(", "):
            statement = "DROP USER '{}'@'localhost';".format(account)
            self._ask(client, socket, statement, "remove account {}".format(account))

    def figures(self, client: str, socket: str, patience: float) -> Dict[str, int]:
        """Some of the server's own counters, by their names.

        Raises:
            StepError: it does not answer within `patience` seconds.
            ValueError: one of them is missing.
        """
        said = self._ask(client, socket, FIGURES, "ask the database for its figures", patience)
        found = {row[0]: int(row[1]) for row in map(str.split, said.splitlines()) if len(row) == 2 and row[1].isdigit()}
        if set(found) != set(COUNTERS):
            raise ValueError("the database tells {} only".format(", ".join(sorted(found)) or "nothing"))
        return found

    def _ask(self, client: str, socket: str, statement: str, what: str, patience: float = TIMEOUT) -> str:
        argv = [client, "--no-defaults", "--protocol=socket", "--socket=" + socket, "--user=root", "--batch",
                "--skip-column-names", "--execute", statement]
        return str(self._run(argv, what, patience).out.decode("utf-8", "replace"))

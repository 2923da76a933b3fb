"""Webmail: pages, logins by the directory, ActiveSync, TLS; and a database that outlives a restart."""

from __future__ import annotations

import html
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from mailimg.clients import web
from mailimg.errors import StepError
from mailimg.peers import addresses as at
from mailimg.peers.authority import Authority
from mailimg.peers.directory import USERS
from mailimg.verify import metrics
from mailimg.verify.scenarios import Bench, Check, CheckFailed, until

# Three workers: twenty would be started one after the other by an emulated CPU.
TUNING: Mapping[str, Any] = {"workers": 3}

USER = USERS[0]
# To a browser that it does not know, SOGo shows no login form.
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
COUNT = "SELECT COUNT(*) FROM sogo.sogo_user_profile WHERE c_uid = '{}'"


def site_keys(authority: Authority) -> Mapping[str, Any]:
    """A certificate of its own, a title that is not ASCII."""
    own = authority.issue(at.WEBMAIL_NAME, at.NODE4)
    return {
        "tls": {"certificate": own.chain, "key": f"literal:{own.key.read_text()}"},
        "webmail": {"title": at.WEBMAIL_TITLE, "time_zone": "Europe/Vienna"},
    }


def checks() -> Sequence[tuple[str, Check]]:
    """The checks of this scenario, in order."""
    return (
        ("port 80 leads to TLS", plain_redirects),
        ("/ leads to the webmail", root_redirects),
        ("the login page is served", login_page),
        ("style sheets and scripts are served", static_files),
        ("a user of the directory logs in", logs_in),
        ("a wrong password is refused", wrong_password),
        ("an unknown user is refused", unknown_user),
        ("calendars of the user are there (CalDAV)", caldav),
        ("ActiveSync asks for a login", active_sync),
        ("TLS 1.1 is refused", old_tls),
        ("nobody outside sets sogod's own headers", no_trusted_headers),
        ("no database is open to the network or to other accounts", database_closed),
        ("no secret of the build is in the image", no_baked_secret),
        ("no secret is in a log or in a process list", no_leaked_secret),
        ("a directory with a foreign certificate is not believed", foreign_directory),
        ("the metrics tell of a memcached that has stopped", stopped_told),
        ("the services stop in bounded time", stops),
        ("a second start keeps the database", keeps_database),
    )


def ask(bench: Bench, path: str, **more: Any) -> web.Answer:
    """A request by HTTPS, as users make it."""
    headers = {"User-Agent": BROWSER, **more.pop("headers", {})}
    return web.ask(at.NODE4, at.SENDER4, at.WEBMAIL_NAME, path, authority=bench.authority, headers=headers, **more)


def connect(bench: Bench, login: str, password: str) -> web.Answer:
    """A login as the page does it."""
    return ask(bench, "/SOGo/connect", document={
        "userName": login, "password": password, "language": "English", "rememberLogin": 0})


def expect(answer: web.Answer, status: int, location: str = "") -> str:
    """The detail of the answer that was expected."""
    if answer.status != status or (location and answer.headers.get("location") != location):
        wanted = f"{status}{f' to {location}' if location else ''}"
        raise CheckFailed(f"expected {wanted}, got {answer}: {answer.body[:200]!r}")
    return str(answer)


def plain_redirects(bench: Bench) -> str:
    """Nobody types a password without TLS."""
    for path, place in (("/", "/SOGo/"), ("/SOGo/so/anna/Mail", "/SOGo/so/anna/Mail")):
        answer = web.ask(at.NODE4, at.SENDER4, at.WEBMAIL_NAME, path)
        expect(answer, 302 if path == "/" else 301, f"https://{at.WEBMAIL_NAME}{place}")
    answer = web.ask(at.NODE4, at.SENDER4, at.WEBMAIL_NAME, "/SOGo/connect", document={"userName": "x"})
    return expect(answer, 301)


def root_redirects(bench: Bench) -> str:
    """The name alone is enough."""
    return expect(ask(bench, "/"), 302, f"https://{at.WEBMAIL_NAME}/SOGo/")


def login_page(bench: Bench) -> str:
    """With the site's title."""
    answer = ask(bench, "/SOGo/")
    detail = expect(answer, 200)
    page = html.unescape(answer.body.decode())
    if "loginForm" not in page:
        raise CheckFailed(f"no login form in {page!r}")
    if f">{at.WEBMAIL_TITLE}</title>" not in page:
        raise CheckFailed(f"the title {at.WEBMAIL_TITLE!r} is not on it")
    return detail


def static_files(bench: Bench) -> str:
    """By Apache itself, and cacheable."""
    answer = ask(bench, "/SOGo.woa/WebServerResources/css/styles.css")
    expect(answer, 200)
    if "max-age=31" not in answer.headers.get("cache-control", ""):
        raise CheckFailed(f"not cacheable: {answer.headers.get('cache-control')!r}")
    return expect(ask(bench, "/SOGo/WebServerResources/js/Common.js"), 200)


def logs_in(bench: Bench) -> str:
    """By sAMAccountName."""
    return expect(connect(bench, USER.login, bench.directory.password), 200)


def wrong_password(bench: Bench) -> str:
    """And the right one still works afterwards."""
    detail = expect(connect(bench, USER.login, "not-" + bench.directory.password), 403)
    expect(connect(bench, USER.login, bench.directory.password), 200)
    return detail


def unknown_user(bench: Bench) -> str:
    """Nor one without an address: the account that only reads the directory has no mailbox."""
    expect(connect(bench, "reader", bench.directory.password), 403)
    return expect(connect(bench, "nobody", bench.directory.password), 403)


def caldav(bench: Bench) -> str:
    """Calendars need a login."""
    return expect(ask(bench, f"/SOGo/dav/{USER.login}/Calendar/"), 401)


def active_sync(bench: Bench) -> str:
    """The address that phones find by themselves."""
    return expect(ask(bench, "/Microsoft-Server-ActiveSync", method="OPTIONS"), 401)


def old_tls(bench: Bench) -> str:
    """TLS 1.2 is the floor."""
    expect(ask(bench, "/SOGo/", version=ssl.TLSVersion.TLSv1_2), 200)
    try:
        answer = ask(bench, "/SOGo/", version=ssl.TLSVersion.TLSv1_1)
    except StepError as error:
        return error.message
    raise CheckFailed(f"TLS 1.1 was taken: {answer}")


def no_trusted_headers(bench: Bench) -> str:
    """A request that claims to be authenticated is not."""
    answer = ask(bench, f"/SOGo/so/{USER.login}/Mail/view", headers={"x-webobjects-remote-user": USER.login})
    if USER.mail.encode() in answer.body:
        raise CheckFailed(f"{answer}: a header was enough to log in")
    return str(answer)


def database_closed(bench: Bench) -> str:
    """Reached through its socket, by root and by sogo."""
    open_to_network = bench.node.ask(["mariadb", "-BNe", "SELECT @@skip_networking"]).strip()
    if open_to_network != "1":
        raise CheckFailed(f"skip_networking is {open_to_network}")
    bench.node.ask(["runuser", "-u", "sogo", "--", "mariadb", "-BNe", "SELECT 1", "sogo"])
    told = bench.node.ask(["runuser", "-u", "www-data", "--", "mariadb", "--user=sogo", "-BNe", "SELECT 'in'"],
                          check=False)
    if "in" in told:
        raise CheckFailed("www-data may log in as sogo")
    return bench.node.ask(["mariadb", "-BNe", "SELECT GROUP_CONCAT(User, '@', Host) FROM mysql.user"]).strip()


def no_baked_secret(bench: Bench) -> str:
    """Neither a key that every instance would share nor a password of the packaging."""
    found = bench.node.ask(["find", "/etc/ssl/private", "-type", "f"], check=False).split()
    if found:
        raise CheckFailed(", ".join(found))
    told = bench.node.ask(["grep", "-rlsE", "^ *password *= *[^ ]", "/etc/mysql"], check=False).split()
    if told:
        raise CheckFailed(f"a password in {', '.join(told)}")
    return "no key in /etc/ssl/private, no password in /etc/mysql"


def no_leaked_secret(bench: Bench) -> str:
    """The directory's password stands in sogo.conf alone, which sogo and root may read."""
    secret = bench.directory.password
    journal = bench.node.ask(["journalctl", "--no-pager", "-o", "cat"])
    if secret in journal or secret in bench.node.ask(["ps", "-eo", "args"]):
        raise CheckFailed("the directory's password is in the journal or in the process list")
    found = bench.node.ask(["stat", "-c", "%U:%G %a", "/etc/sogo/sogo.conf"]).strip()
    if found != "root:sogo 640":
        raise CheckFailed(f"sogo.conf is {found}")
    return found


def foreign_directory(bench: Bench) -> str:
    """Without the site's authority no password is sent there, not the users' and not the reader's."""
    file = "/etc/sogo/directory-ca.pem"
    bench.node.ask(["cp", "-p", file, "/run/authority.pem"])
    bench.node.ask(["sh", "-c", f"openssl req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=x > {file}"])
    # memcached too: it remembers logins that were good.
    bench.node.ask(["systemctl", "restart", "memcached", "sogo"])
    try:
        if not until(lambda: ask(bench, "/SOGo/").status == 200, 60):
            raise CheckFailed("sogod does not come back")
        detail = expect(connect(bench, USER.login, bench.directory.password), 403)
    finally:
        bench.node.ask(["cp", "-p", "/run/authority.pem", file])
        bench.node.ask(["systemctl", "restart", "memcached", "sogo"])
    if not until(lambda: connect(bench, USER.login, bench.directory.password).status == 200, 60):
        raise CheckFailed("no login with the right authority again")
    return detail


def stops(bench: Bench) -> str:
    """sogod, which ignores SIGTERM, too; and as a success, so that no unit counts as failed."""
    seconds = bench.node.ask(["bash", "-c", "s=$EPOCHREALTIME; systemctl stop sogo; echo $s $EPOCHREALTIME"]).split()
    took = float(seconds[1]) - float(seconds[0])
    state = bench.node.ask(["systemctl", "show", "-p", "ActiveState", "--value", "sogo"]).strip()
    if took > 20 or state != "inactive":
        raise CheckFailed(f"sogod was {state} after {took:.1f} s")
    return f"sogod in {took:.1f} s"


def keeps_database(bench: Bench) -> str:
    """Everything stopped and configured anew: what a user stored is there, and nothing was made again."""
    before = rows(bench)
    if before != "1":
        raise CheckFailed(f"{before} rows of {USER.login} before the restart; a login should have left one")
    bench.node.ask(["systemctl", "stop", "nginx", "apache2", "sogo", "mariadb", "memcached"])
    bench.node.ask(["mailimg-firstboot", "apply"])
    after = rows(bench)
    if after != before:
        raise CheckFailed(f"{before} rows before the restart, {after} after it")
    if not until(lambda: connect(bench, USER.login, bench.directory.password).status == 200, 30):
        raise CheckFailed("no login after the restart")
    steps = {step["name"]: step for step in bench.node.status()["steps"]}
    return f"databases: {steps['databases']['message']}"


def rows(bench: Bench) -> str:
    """How many profiles of the user the database holds."""
    return bench.node.ask(["mariadb", "-BNe", COUNT.format(USER.login)]).strip()


def stopped_told(bench: Bench) -> str:
    """sogod keeps its sessions there."""
    return metrics.stopped(bench, "memcached", "memcached")

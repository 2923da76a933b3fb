"""What the webmail and storage roles write holds together, with and without what a site may leave out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from examples import HOSTNAME, INSTANCE, RESOURCES

from mailimg import rolejson, roles
from mailimg_firstboot import offline, rolefile

DISTROS = roles.distro_names(RESOURCES)
# How the files are called that every distribution calls otherwise.
ALIKE = {"httpd.conf": "apache.conf", "apache2.conf": "apache.conf", "zz-mailimg.cnf": "mariadb.cnf",
         "90-mailimg.cnf": "mariadb.cnf"}
pytestmark = pytest.mark.parametrize("name", DISTROS)


def render(distro_name: str, role_name: str, without: tuple[str, ...] = (), **more: Any) -> dict[str, str]:
    """The files of a role's example by name, without some keys of its site document."""
    role, distro = roles.load_role(RESOURCES, role_name), roles.load_distro(RESOURCES, distro_name)
    document = rolejson.role_document(role, distro, identity="0" * 64, version="0")
    site = yaml.safe_load((role.folder / "example" / "site.yaml").read_text())
    site = {key: value for key, value in site.items() if key not in without} | more
    files = offline.render(rolefile.load(json.dumps(document).encode()), site, HOSTNAME, INSTANCE,
                           str(role.folder / "templates"), masked=False)
    found = {Path(one.path).name: one.content.decode() for one in files}
    return {ALIKE.get(name, name): text for name, text in found.items()}


def test_with_tls_port_80_serves_nobody_outside(name: str) -> None:
    apache = render(name, "sogo")["apache.conf"]
    outside, inside = apache.split("<VirtualHost 127.0.0.1:80>")
    assert "<VirtualHost *:80>" in outside
    assert "ProxyPass" not in outside
    assert "ProxyPass /SOGo http://127.0.0.1:20000/SOGo" in inside
    assert 'x-webobjects-server-url "https://' in inside


def test_without_tls_apache_serves_and_nginx_listens_nowhere(name: str) -> None:
    files = render(name, "sogo", without=("tls",))
    assert "<VirtualHost *:80>" in files["apache.conf"]
    assert "127.0.0.1:80>" not in files["apache.conf"]
    assert "https://" not in files["apache.conf"]
    assert "listen" not in re.sub("#.*", "", files["nginx.conf"])
    assert files["key.pem"] == files["certificate.pem"] == ""


def test_without_a_database_elsewhere_no_password_is_in_a_url(name: str) -> None:
    text = render(name, "sogo", without=("database",))["sogo.conf"]
    urls = re.findall(r'URL = "(mysql://[^"]*)"', text)
    assert len(urls) == 8
    assert {url.rpartition("/")[0] for url in urls} == {"mysql://sogo@localhost/sogo"}


def test_a_phone_gives_up_before_apache_and_apache_before_nginx(name: str) -> None:
    files = render(name, "sogo")
    ping = int(re.findall(r"SOGoMaximumPingInterval = (\d+);", files["sogo.conf"])[0])
    apache = {int(seconds) for seconds in re.findall(r" timeout=(\d+)", files["apache.conf"])}
    nginx = int(re.findall(r"proxy_read_timeout (\d+)s;", files["nginx.conf"])[0])
    assert ping < min(apache) <= max(apache) < nginx


def test_reminders_only_with_an_account(name: str) -> None:
    assert render(name, "sogo")["alarms-account"] == "reminders:not-a-real-password-either"
    without = render(name, "sogo", without=("webmail",))
    assert without["alarms-account"] == ""
    assert "SOGoEnableEMailAlarms = NO;" in without["sogo.conf"]


def test_property_list_of_strings_that_end_nothing(name: str) -> None:
    """Every line of sogo.conf that a site's text reaches is one setting."""
    odd = {"bind_dn": 'cn="a";x = (y),dc=example', "bind_password": 'literal:"; SOGoSuperUsernames = (me); x = "\\'}
    site = yaml.safe_load((RESOURCES.roles / "sogo" / "example" / "site.yaml").read_text())
    text = render(name, "sogo", directory=site["directory"] | odd)["sogo.conf"]
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    assert bare.count('"') % 2 == 0
    assert bare.count("SOGoSuperUsernames") == 1


def test_only_the_volume_is_exported_and_only_while_it_is_mounted(name: str) -> None:
    volume = roles.load_role(RESOURCES, "nfs").volume
    assert volume is not None
    rows = [line for line in render(name, "nfs")["exports"].splitlines() if line and not line.startswith("#")]
    assert len(rows) == 2
    for row in rows:
        assert row.startswith(volume["mount"] + " ")
        assert ",mp)" in row
        assert "no_root_squash" not in row


def test_ports_of_nfs_are_those_that_security_groups_name(name: str) -> None:
    ports = {port["name"]: port["port"] for port in roles.load_role(RESOURCES, "nfs").ports}
    files = render(name, "nfs")
    if "nfs.conf" in files:
        for section, port in (("mountd", "mountd"), ("statd", "statd"), ("lockd", "lockd")):
            assert f"[{section}]\nport={ports[port]}\n" in files["nfs.conf"]
    else:
        assert f'\nRPCMOUNTDOPTS="-p {ports["mountd"]}"\n' in files["nfs"]
        assert f'\nSTATDARG="-p {ports["statd"]} -o ' in files["nfs"]
    element = (RESOURCES.elements / "nfs-server" / "post-install.d" / "50-nfs-server-units").read_text()
    assert f"nlm_tcpport={ports['lockd']} nlm_udpport={ports['lockd']}" in element


def test_memcached_answers_nobody_else(name: str) -> None:
    text = next(text for file, text in render(name, "sogo").items() if file.startswith("memcached"))
    words = re.sub("^#.*$", "", text, flags=re.MULTILINE).replace('"', " ").split()
    assert words[words.index("-l") + 1] == "127.0.0.1"
    assert words[words.index("-U") + 1] == "0"


def test_database_and_tables_speak_one_charset(name: str) -> None:
    """What the agent makes the database with is what the server and sogod are told."""
    charset = roles.load_distro(RESOURCES, name).daemons["mariadb"]["charset"]
    files = render(name, "sogo", without=("database",))
    assert f'MySQL4Encoding = "{charset}";' in files["sogo.conf"]
    assert f"character-set-server = {charset}\n" in files["mariadb.cnf"]
    # A server elsewhere is not the one of this distribution.
    assert 'MySQL4Encoding = "utf8mb4";' in render(name, "sogo")["sogo.conf"]


def test_a_server_whose_data_lets_everybody_in_is_closed_before_it_answers(name: str) -> None:
    files = render(name, "sogo", without=("database",))
    init = roles.load_distro(RESOURCES, name).daemons["mariadb"]["init"]
    assert ("init-file" in files["mariadb.cnf"]) == bool(init)
    if init:
        assert f"\ninit-file = {init}\n" in files["mariadb.cnf"]
        # The server reads one statement a line and knows no comments there.
        assert all(re.fullmatch("[A-Z].*;", line) for line in files["mailimg-init.sql"].splitlines())
        assert "sql_mode = STRICT_TRANS_TABLES" in files["mariadb.cnf"]

"""What the webmail and storage roles write holds together, with and without what a site may leave out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml
from examples import HOSTNAME, INSTANCE, RESOURCES

from mailimg import rolejson, roles
from mailimg_firstboot import offline, rolefile

DISTRO = roles.distro_names(RESOURCES)[0]


def render(role_name: str, without: tuple[str, ...] = (), **more: Any) -> dict[str, str]:
    """The files of a role's example by name, without some keys of its site document."""
    role, distro = roles.load_role(RESOURCES, role_name), roles.load_distro(RESOURCES, DISTRO)
    document = rolejson.role_document(role, distro, identity="0" * 64, version="0")
    site = yaml.safe_load((role.folder / "example" / "site.yaml").read_text())
    site = {key: value for key, value in site.items() if key not in without} | more
    files = offline.render(rolefile.load(json.dumps(document).encode()), site, HOSTNAME, INSTANCE,
                           str(role.folder / "templates"), masked=False)
    return {Path(one.path).name: one.content.decode() for one in files}


def test_with_tls_port_80_serves_nobody_outside() -> None:
    apache = render("sogo")["apache2.conf"]
    outside, inside = apache.split("<VirtualHost 127.0.0.1:80>")
    assert "<VirtualHost *:80>" in outside
    assert "ProxyPass" not in outside
    assert "ProxyPass /SOGo http://127.0.0.1:20000/SOGo" in inside
    assert 'x-webobjects-server-url "https://' in inside


def test_without_tls_apache_serves_and_nginx_listens_nowhere() -> None:
    files = render("sogo", without=("tls",))
    assert "<VirtualHost *:80>" in files["apache2.conf"]
    assert "127.0.0.1:80>" not in files["apache2.conf"]
    assert "https://" not in files["apache2.conf"]
    assert "listen" not in re.sub("#.*", "", files["nginx.conf"])
    assert files["key.pem"] == files["certificate.pem"] == ""


def test_without_a_database_elsewhere_no_password_is_in_a_url() -> None:
    text = render("sogo", without=("database",))["sogo.conf"]
    urls = re.findall(r'URL = "(mysql://[^"]*)"', text)
    assert len(urls) == 8
    assert {url.rpartition("/")[0] for url in urls} == {"mysql://sogo@localhost/sogo"}


def test_a_phone_gives_up_before_apache_and_apache_before_nginx() -> None:
    files = render("sogo")
    ping = int(re.findall(r"SOGoMaximumPingInterval = (\d+);", files["sogo.conf"])[0])
    apache = {int(seconds) for seconds in re.findall(r" timeout=(\d+)", files["apache2.conf"])}
    nginx = int(re.findall(r"proxy_read_timeout (\d+)s;", files["nginx.conf"])[0])
    assert ping < min(apache) <= max(apache) < nginx


def test_reminders_only_with_an_account() -> None:
    assert render("sogo")["alarms-account"] == "reminders:not-a-real-password-either"
    without = render("sogo", without=("webmail",))
    assert without["alarms-account"] == ""
    assert "SOGoEnableEMailAlarms = NO;" in without["sogo.conf"]


def test_property_list_of_strings_that_end_nothing() -> None:
    """Every line of sogo.conf that a site's text reaches is one setting."""
    odd = {"bind_dn": 'cn="a";x = (y),dc=example', "bind_password": 'literal:"; SOGoSuperUsernames = (me); x = "\\'}
    site = yaml.safe_load((RESOURCES.roles / "sogo" / "example" / "site.yaml").read_text())
    text = render("sogo", directory=site["directory"] | odd)["sogo.conf"]
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    assert bare.count('"') % 2 == 0
    assert bare.count("SOGoSuperUsernames") == 1


def test_only_the_volume_is_exported_and_only_while_it_is_mounted() -> None:
    volume = roles.load_role(RESOURCES, "nfs").volume
    assert volume is not None
    rows = [line for line in render("nfs")["exports"].splitlines() if line and not line.startswith("#")]
    assert len(rows) == 2
    for row in rows:
        assert row.startswith(volume["mount"] + " ")
        assert ",mp)" in row
        assert "no_root_squash" not in row


def test_ports_of_nfs_are_those_that_security_groups_name() -> None:
    ports = {port["name"]: port["port"] for port in roles.load_role(RESOURCES, "nfs").ports}
    conf = render("nfs")["nfs.conf"]
    for section, name in (("mountd", "mountd"), ("statd", "statd"), ("lockd", "lockd")):
        assert f"[{section}]\nport={ports[name]}\n" in conf
    element = (RESOURCES.elements / "nfs-server" / "post-install.d" / "50-nfs-server-units").read_text()
    assert f"nlm_tcpport={ports['lockd']} nlm_udpport={ports['lockd']}" in element

"""The distribution's own configuration, from its tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailimg.errors import InputError
from mailimg.load import stock

SITE = stock.Site("mx.example.org", "example.org", "10.0.0.0/24", "[delivery.example.org]:25", 3, "/MAILBOXES/bare")
MODE = """\
#@bypass_virus_checks_maps = (
#   \\%bypass_virus_checks, \\@bypass_virus_checks_acl, \\$bypass_virus_checks_re);
# Default SPAM checking mode
#@bypass_spam_checks_maps = (
#   \\%bypass_spam_checks, \\@bypass_spam_checks_acl, \\$bypass_spam_checks_re);
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What Debian's packages bring of it."""
    files = {
        "usr/share/postfix/main.cf.debian": "biff = no\n\ncompatibility_level = 3.6\n",
        "usr/share/postfix/master.cf.dist": "smtp inet n - y - - smtpd\n",
        "etc/amavis/conf.d/15-content_filter_mode": MODE,
        "etc/dovecot/conf.d/10-auth.conf": "auth_mechanisms = plain\n!include auth-system.conf.ext\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_stock_filter_looks_at_spam_and_viruses_with_as_many_workers(tree: Path) -> None:
    files = stock.filter_files(tree, SITE)
    lines = files["etc/amavis/conf.d/15-content_filter_mode"].splitlines()
    assert [line for line in lines if line.startswith("#")] == ["# Default SPAM checking mode"]
    assert "$max_servers = 3;" in files["etc/amavis/conf.d/50-user"]
    assert "smtp-amavis unix -      -       y       -       3       smtp" in files["etc/postfix/master.cf"]
    assert files["etc/postfix/master.cf"].startswith("smtp inet n - y - - smtpd\n")
    assert files["etc/postfix/transport"] == "example.org smtp:[delivery.example.org]:25\n"
    assert files["etc/postfix/main.cf"].startswith("biff = no\ncompatibility_level = 3.6\n")
    assert "relay_domains = example.org" in files["etc/postfix/main.cf"].splitlines()


def test_bare_delivery_asks_nobody(tree: Path) -> None:
    files = stock.delivery_files(tree, SITE)
    assert "\n#!include auth-system.conf.ext" in files["etc/dovecot/conf.d/10-auth.conf"]
    assert "home=/MAILBOXES/bare/%n allow_all_users=yes" in files["etc/dovecot/local.conf"]
    assert "mail_plugins" not in "".join(files.values())
    assert "virtual_transport = lmtp:inet:127.0.0.1:24" in files["etc/postfix/main.cf"]


def test_a_tree_of_another_distribution_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only debian-12 has a stock configuration"):
        stock.filter_files(tmp_path, SITE)

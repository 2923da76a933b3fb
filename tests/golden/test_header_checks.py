"""What the roles replace in headers on the way out, tried on lines as the platform's servers write them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from examples import RESOURCES, render

from mailimg import roles

WHERE = [("smtp-out", "header_checks"), ("pop-imap-lda", "notice_checks"), ("smtp-in", "notice_checks")]
NOTICES = ["pop-imap-lda", "smtp-in"]
DISTROS = roles.distro_names(RESOURCES)
END = "; Sun, 22 Nov 2026 21:41:56 +0000 (UTC)"
MX = "mx-1.cloud.example.org"
# By Postfix, by Dovecot, by amavis; what is left of each.
LINES = [
    (f"Received: from a.example (lb [10.91.0.100])\n\tby {MX} (Postfix) with ESMTPS id 4jX\n\tfor <a@b>{END}",
     f"Received: by {MX} (Postfix) with ESMTPS id 4jX\n\tfor <a@b>{END}"),
    (f"Received: from {MX} ([127.0.0.1])\n\tby {MX} with LMTP\n\tid EEtPC+g\n\t(envelope-from <x@y>){END}",
     f"Received: by {MX} with LMTP\n\tid EEtPC+g\n\t(envelope-from <x@y>){END}"),
    (f"Received: from {MX} ([127.0.0.1])\n by localhost ({MX} [127.0.0.1]) (amavis, port 10024)\n with ESMTP id g{END}",
     f"Received: by {MX} (amavis) with ESMTP id g{END}"),
]
OTHERS = [
    "Received: from [10.0.0.7] by mail.elsewhere.example (Postfix) with ESMTPSA id 1" + END,
    f"Received: by {MX} (Postfix, from userid 5000)\n\tid 4jX" + END,
    f"Subject: Received: from a by {MX} with LMTP id 1",
]


def rules(role: str, name: str, distro: str) -> list[tuple[re.Pattern[str], str]]:
    """Patterns with their actions. A POSIX pattern's dot meets a line end, its dollar none in between; case is one."""
    (text,) = [one.content.decode() for one in render(role, distro) if Path(one.path).name == name]
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = []
    for pattern, action in zip(lines[::2], lines[1::2], strict=True):
        assert pattern[0] == pattern[-1] == "/", pattern
        text = re.sub(r"\$$", r"\\Z", pattern[1:-1].replace("[[:space:]]", r"\s"))
        found.append((re.compile(text, re.DOTALL | re.IGNORECASE), action.strip()))
    return found


def replaced(line: str, found: list[tuple[re.Pattern[str], str]]) -> str:
    """A header line behind the first rule that meets it, as Postfix expands it: $1 or ${1}."""
    for pattern, action in found:
        if match := pattern.search(line):
            word, _, text = action.partition(" ")
            assert word in ("REPLACE", "IGNORE")
            return re.sub(r"\$(?:\{(\d)\}|(\d))", lambda part: match[int(part[1] or part[2])] or "", text)
    return line


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize(("role", "name"), WHERE)
def test_lines_of_the_platform_lose_their_addresses(role: str, name: str, distro: str) -> None:
    found = rules(role, name, distro)
    for line, left in LINES:
        assert replaced(line, found) == left


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize(("role", "name"), WHERE)
def test_lines_of_others_stay(role: str, name: str, distro: str) -> None:
    found = rules(role, name, distro)
    for line in OTHERS:
        assert replaced(line, found) == line


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", NOTICES)
def test_headers_without_their_message_lose_them_too(role: str, distro: str) -> None:
    """Those of a large message are text for Postfix, which looks at each line alone; they stay headers."""
    found = rules(role, "notice_body_checks", distro)
    for line, _ in LINES:
        left = [new for part in line.split("\n") if (new := replaced(part, found)) or not part]
        assert not re.search(r"\[[^]]*\]", " ".join(left)), left
        assert left[0] == "Received:"
        assert left[-1] == line.split("\n")[-1]
        assert all(part[0] in "\t " for part in left[1:])
    for line in OTHERS:
        assert [replaced(part, found) for part in line.split("\n")] == line.split("\n")


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize("role", NOTICES)
def test_notices_pass_both_tables(role: str, distro: str) -> None:
    """And nothing else does: other messages may be signed."""
    texts = {Path(one.path).name: one.content.decode() for one in render(role, distro)}
    services = re.split(r"^(?=\S)", texts["master.cf"], flags=re.MULTILINE)
    checked = [text for text in services if re.search(r"^ +-o (nested_header|body)_checks=", text, re.MULTILINE)]
    assert [text.split()[0] for text in checked] == ["cleanup-notices"]
    options = dict(re.findall(r"^ +-o (\w+)=regexp:\S*/(\w+)$", checked[0], re.MULTILINE))
    assert options == {"nested_header_checks": "notice_checks", "body_checks": "notice_body_checks"}
    assert not re.search(r"^(nested_header|body|mime_header)_checks", texts["main.cf"], re.MULTILINE)
    assert [text.split()[0] for text in services if "cleanup_service_name=cleanup-notices" in text] == [
        "bounce", "defer", "trace"]


@pytest.mark.parametrize("distro", DISTROS)
@pytest.mark.parametrize(("role", "name"), [*WHERE, *((role, "notice_body_checks") for role in NOTICES)])
def test_no_word_stands_behind_a_bare_number(role: str, name: str, distro: str) -> None:
    """Postfix would take `$2with` for a name, and leave the whole rule out."""
    for _, action in rules(role, name, distro):
        assert not re.search(r"\$\d\w", action), action

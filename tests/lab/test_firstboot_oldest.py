"""The agent's own tests, and the golden files of all roles, on a real Python 3.6 with the libraries of CentOS 7."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import oldest_python
import pytest

from mailimg import resources, rolejson, roles

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[2]
FIRSTBOOT = ROOT / "firstboot"
TESTS = ROOT / "tests" / "unit" / "firstboot"
FILES = sorted(TESTS.glob("test_*.py"))
RESOURCES = resources.installed()
GOLDEN = sorted(RESOURCES.roles.glob("*/example/golden/*"))
HOSTNAME = "node-1"
INSTANCE = "11111111-2222-4333-8444-555555555555"

# pytest 7.0 knows neither all options nor all plugins that pyproject.toml names.
SETTINGS = "[pytest]\nfilterwarnings = error\naddopts = --strict-markers -ra\n"


@pytest.fixture(scope="session")
def python36(store_root: Path) -> Path:
    """The interpreter of a virtual environment like an image's; the reason for a skip stands in pytest's summary."""
    found = oldest_python.interpreter()
    if found is None:
        pytest.skip(oldest_python.ABSENT)
    return oldest_python.environment(found, store_root / "cache")


@pytest.fixture(scope="session")
def expected() -> Counter[str]:
    """How many tests each file has here."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--no-header", str(TESTS)]
    listed = oldest_python.run([*command], cwd=ROOT)
    assert listed.returncode == 0, listed.stdout
    return Counter(Path(line.split("::")[0]).name for line in listed.stdout.splitlines() if "::" in line)


def test_every_file_compiles(python36: Path, tmp_path: Path) -> None:
    """As the image's element compiles them: a syntax error would else wait for the first boot that needs the module."""
    shutil.copytree(FIRSTBOOT, tmp_path / "firstboot", ignore=shutil.ignore_patterns("__pycache__"))
    done = oldest_python.run([python36, "-W", "error", "-m", "compileall", "-q", tmp_path / "firstboot"], {})
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    sources = {path.stem for path in FIRSTBOOT.rglob("*.py")}
    assert {path.name.split(".")[0] for path in tmp_path.rglob("*.cpython-36.pyc")} == sources != set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_agents_own_tests(path: Path, python36: Path, expected: Counter[str], tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    report = tmp_path / "report.xml"
    words = ["-m", "pytest", "-c", tmp_path / "pytest.ini", "--rootdir", ROOT, "-p", "no:cacheprovider", "-q",
             "--basetemp", tmp_path / "t", f"--junitxml={report}", path]
    env = {**oldest_python.ENVIRONMENT, "PYTHONPATH": str(FIRSTBOOT)}
    done = oldest_python.run([python36, *words], env)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    cases = ElementTree.parse(report).getroot().findall(".//testcase")  # noqa: S314 - pytest wrote it
    passed = [case for case in cases if len(case.findall("skipped")) == 0]
    assert len(passed) == expected[path.name] > 0


def role_document(folder: Path, role_name: str, distro_name: str) -> Path:
    """role.json of a role on a distribution, in a file."""
    role, distro = roles.load_role(RESOURCES, role_name), roles.load_distro(RESOURCES, distro_name)
    path = folder / "role.json"
    path.write_text(json.dumps(rolejson.role_document(role, distro, identity="0" * 64, version="0")))
    return path


def render(python36: Path, role_file: Path, role_name: str, site: Path, *more: str | Path) -> str:
    """What the agent prints, started as in an image but for its place."""
    launcher = "import sys; sys.path[:0] = [sys.argv.pop(1)]; from mailimg_firstboot import cli; sys.exit(cli.main())"
    templates = RESOURCES.roles / role_name / "templates"
    done = oldest_python.run([
        python36, "-I", "-W", "error", "-c", launcher, FIRSTBOOT, "render", "--role-file", role_file, "--site", site,
        "--templates", templates, "--hostname", HOSTNAME, "--instance", INSTANCE, *more])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_golden_files_are_there() -> None:
    assert len(GOLDEN) >= len(roles.role_names(RESOURCES)) > 0


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: f"{path.parents[2].name}-{path.name}")
def test_examples_render_to_the_same_bytes(golden: Path, python36: Path, tmp_path: Path) -> None:
    example, role_name = golden.parents[1], golden.parents[2].name
    role_file = role_document(tmp_path, role_name, golden.name)
    render(python36, role_file, role_name, example / "site.yaml", "--output", tmp_path / "out")
    out = {path.relative_to(tmp_path / "out"): path.read_bytes() for path in (tmp_path / "out").rglob("*")
           if path.is_file()}
    wanted = {path.relative_to(golden): path.read_bytes() for path in golden.rglob("*")
              if path.is_file() and path != golden / "FILES"}
    assert len(wanted) > 0
    assert out == wanted


def test_umlauts_in_locale_c(python36: Path, tmp_path: Path) -> None:
    """EL7 has no C.UTF-8, and Python 3.6 believes LC_ALL=C: files, names of files and output are ASCII to it."""
    example = RESOURCES.roles / "smtp-in" / "example" / "site.yaml"
    site = tmp_path / "Büro.yaml"
    site.write_text(example.read_text().replace("dc=example,", "ou=Büro,dc=example,"), encoding="utf-8")
    key = tmp_path / "Schlüssel"
    key.write_text("pässword\n", encoding="utf-8")
    assert "ou=Büro" in site.read_text(encoding="utf-8")
    role_file = role_document(tmp_path, "smtp-in", "debian-12")
    assert "ou=Büro" in render(python36, role_file, "smtp-in", site)
    text = site.read_text(encoding="utf-8")
    (secret,) = [line for line in text.splitlines() if line.strip().startswith("bind_password:")]
    site.write_text(text.replace(secret, f'  bind_password: "file:{key}"'), encoding="utf-8")
    render(python36, role_file, "smtp-in", site, "--output", tmp_path / "Ausgänge")
    assert "pässword" in (tmp_path / "Ausgänge/etc/postfix/recipients.cf").read_text(encoding="utf-8")


def test_a_title_with_umlauts_in_locale_c(python36: Path, tmp_path: Path) -> None:
    example = RESOURCES.roles / "sogo" / "example" / "site.yaml"
    site = tmp_path / "site.yaml"
    lines = [line for line in example.read_text().splitlines() if not line.strip().startswith("title:")]
    place = next(index for index, line in enumerate(lines) if line.startswith("webmail:"))
    lines.insert(place + 1, "  title: Büropost")
    site.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert 'SOGoPageTitle = "B\\U00fcropost";' in render(
        python36, role_document(tmp_path, "sogo", "debian-12"), "sogo", site)

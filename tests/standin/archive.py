"""The stand-in's archive: real RPMs, signed, in repositories with real metadata, laid out as the real archives are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailimg import process
from standin.keys import Key, keyring, sign
from standin.packages import REPOSITORIES, SIGNER, Package, entries, spec

# Where the repositories lie below the archive's root. The first three have one root, as `--mirror` expects.
FOLDERS = {
    "base": "centos-vault/7.9.2009/os/x86_64",
    "updates": "centos-vault/7.9.2009/updates/x86_64",
    "extras": "centos-vault/7.9.2009/extras/x86_64",
    "epel": "pub/archive/epel/7/x86_64",
    "sogo": "release/5/rhel/7/x86_64",
}
WORKERS = 4
# All packages are as old as the last update of CentOS 7 (2024-06-30).
EPOCH = "1719705600"
MACROS = {
    "_binary_payload": "w1.gzdio", "_buildhost": "stand-in.invalid", "_build_id_links": "none",
    "debug_package": "%{nil}", "__os_install_post": "%{nil}", "vendor": "mailimg stand-in",
    "use_source_date_epoch_as_buildtime": "1", "clamp_mtime_to_source_date_epoch": "1",
}


def make_archive(
    root: Path, keys_folder: Path, keys: Mapping[str, Key], packages: Sequence[Package], work: Path
) -> None:
    """Build, sign and index everything below `root`, an empty folder.

    Args:
        keys_folder: as `keys.make_keys` filled it.
        work: an empty folder for what is needed on the way.
    """
    public = {name: key.public.read_bytes() for name, key in keys.items()}
    with ThreadPoolExecutor(WORKERS) as pool:
        built = list(pool.map(lambda each: build(each, public, work / f"{each.repo}-{each.name}"), packages))
        made: dict[str, list[Path]] = {name: [] for name in REPOSITORIES}
        for package, path in zip(packages, built, strict=True):
            made[package.repo].append(path)
        with keyring(keys_folder):
            # One at a time with each key: GnuPG locks its agent anyway.
            for name in keys:
                sign(keys_folder, keys[name], [path for repo in made if SIGNER[repo] == name for path in made[repo]])
        for repo, paths in made.items():
            for path in paths:
                place = root / FOLDERS[repo] / "Packages" / (path.name[0].lower() if repo == "epel" else "") / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                path.rename(place)
        list(pool.map(lambda repo: index(root / FOLDERS[repo]), REPOSITORIES))


def build(package: Package, keys: Mapping[str, bytes], work: Path) -> Path:
    """Build one package with rpmbuild; returns its file."""
    tree = work / "tree"
    tree.mkdir(parents=True)
    lay_out(package, keys, tree)
    (work / "package.spec").write_text(spec(package, keys, tree), encoding="utf-8")
    defines = [word for name, value in MACROS.items() for word in ("--define", f"{name} {value}")]
    process.run(
        ["rpmbuild", "-bb", "--quiet", "--target", "x86_64", *defines, "--define", f"_topdir {work}",
         work / "package.spec"],
        what=f"build the package {package.name}", timeout=120, env={"SOURCE_DATE_EPOCH": EPOCH, "HOME": str(work)},
    )
    return work / "RPMS" / "x86_64" / package.file_name


def lay_out(package: Package, keys: Mapping[str, bytes], tree: Path) -> None:
    """Write a package's files below `tree`; modes and owners stand in the spec."""
    for entry in entries(package, keys):
        path = tree / entry.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == "dir":
            path.mkdir(exist_ok=True)
        elif entry.kind == "link":
            path.symlink_to((entry.content or b"").decode())
        else:
            path.write_bytes(entry.content or b"")


def index(repository: Path) -> None:
    """Write a repository's metadata, with the sqlite files that yum 3.4 prefers."""
    process.run(
        ["createrepo_c", "--quiet", "--database", "--checksum", "sha256", "--workers", "1", "--revision", EPOCH,
         "--set-timestamp-to-revision", repository],
        what="index a repository", timeout=120,
    )


def drop(folder: Path) -> None:
    """Remove a folder that may not be there."""
    if folder.exists():
        shutil.rmtree(folder)

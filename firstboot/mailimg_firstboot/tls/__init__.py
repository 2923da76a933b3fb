"""Where a certificate comes from, beside Barbican: HTTPS servers and PKCS#12 archives. Host hands out a `Tls`."""

from pathlib import Path
from typing import Any, Callable, Optional

from mailimg_firstboot.secret import Secret
from mailimg_firstboot.tls import download, pkcs12


class Tls:
    """Sources of certificates; `path` and `run` are those of Host."""

    def __init__(self, path: Callable[[str], Path], run: Callable[..., Any]) -> None:
        self._path = path
        self._archives = pkcs12.Archives(path, run)

    def download(self, url: str, ca: str, bundle: str) -> bytes:
        """One attempt at a URL; see `download.get`.

        Args:
            url: https.
            ca: PEM, or `system`.
            bundle: file of the system's trust store.
        """
        return download.get(url, None if ca == "system" else ca, str(self._path(bundle)) if bundle else None)

    def unpack(self, archive: bytes, password: Optional[Secret]) -> bytes:
        """Certificates and key of a PKCS#12 archive as PEM; see `pkcs12.Archives`."""
        return self._archives.unpack(archive, password)

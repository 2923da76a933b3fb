"""PKCS#12 archives, through the image's openssl.

The cryptography of EPEL 7 (2.3, as far as is known) cannot read them: that came with 2.5. openssl is in every image
(Debian's ca-certificates and CentOS' own base need it). The password goes by standard input; the archive, which is
nothing without it, by a file below /run that is closed to others; the key comes back through a pipe.

An OpenSSL 1.0.2 (CentOS 7) takes a password as bytes where later ones take it as UTF-8: only one of ASCII characters
opens the same archive everywhere.
"""

import os
from pathlib import Path
from typing import Any, Callable, Optional

from mailimg_firstboot.errors import StepError
from mailimg_firstboot.secret import Secret

PLACE = "/run/mailimg/certificate.p12"

HINT = "Make it with `openssl pkcs12 -export`; its password stands behind tls.password."


class Archives:
    """Opens archives; `path` and `run` are those of Host."""

    def __init__(self, path: Callable[[str], Path], run: Callable[..., Any]) -> None:
        self._path = path
        self._run = run

    def unpack(self, archive: bytes, password: Optional[Secret]) -> bytes:
        """The archive's certificates and key, not encrypted, as PEM.

        Args:
            password: None: an empty one.

        Raises:
            StepError: the password is wrong, or it is no PKCS#12 archive that this openssl reads.
        """
        place = self._path(PLACE)
        place.parent.mkdir(0o755, parents=True, exist_ok=True)
        if place.exists():
            place.unlink()
        handle = os.open(str(place), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(archive)
            line = (password.reveal() if password else "").encode("utf-8") + b"\n"
            # -nodes: the later -noenc is not known to 1.0.2, and this is still known to 3.
            argv = ["openssl", "pkcs12", "-in", str(place), "-passin", "stdin", "-nodes"]
            done = self._run(argv, "open PKCS#12", check=False, stdin=line)
            if done.status != 0 and "unsupported" in done.err:
                # OpenSSL 3 keeps RC2 and RC4, with which old tools encrypt the certificates, apart.
                argv = ["openssl", "pkcs12", "-in", str(place), "-passin", "stdin", "-nodes", "-legacy"]
                done = self._run(argv, "open PKCS#12", check=False, stdin=line)
        finally:
            place.unlink()
        if done.status == 0:
            return bytes(done.out)
        if "invalid password" in done.err or "mac verify" in done.err.lower():
            words = "the password is wrong" if password else "it needs a password, and tls.password is not given"
            raise StepError("open PKCS#12: " + words, HINT)
        raise StepError("open PKCS#12: openssl cannot read it", HINT)

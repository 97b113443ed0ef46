"""Which certificates a client accepts and shows, as requests takes it: `verify` and `cert`."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadstone.lean.pools import ClientSettings

Verify = bool | str | os.PathLike[str] | None
Certificate = str | tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Trust:
    """Makes TLS settings: those of `base`, or Python's, with a CA bundle or folder and a client certificate."""

    base: Callable[[], ssl.SSLContext] | None
    bundle: str | None
    cert: Certificate

    def __call__(self) -> ssl.SSLContext:
        """Make them; raises ssl.SSLError for files that hold no certificate."""
        if self.bundle is not None:
            is_folder = Path(self.bundle).is_dir()
            context = ssl.create_default_context(
                cafile=None if is_folder else self.bundle, capath=self.bundle if is_folder else None
            )
        else:
            context = ssl.create_default_context() if self.base is None else self.base()
        if self.cert is not None:
            context.load_cert_chain(*((self.cert,) if isinstance(self.cert, str) else self.cert))
        return context


def trusting(settings: ClientSettings, verify: Verify, cert: Certificate) -> ClientSettings:
    """Give client settings with `verify` (False, True or a path) and `cert` (a path or a pair of paths), where given.

    Raises FileNotFoundError.
    """
    factory = settings.ssl_context_factory
    known = factory if isinstance(factory, Trust) else Trust(factory, None, None)
    bundle = os.fspath(verify) if verify is not None and not isinstance(verify, bool) else None
    cert = tuple(cert) if isinstance(cert, list) else cert
    for path in (bundle, *((cert,) if isinstance(cert, str) else cert or ())):
        if path is not None and not Path(path).exists():
            raise FileNotFoundError(f"there is no certificate file {path!r}; check verify and cert")
    made = Trust(known.base, known.bundle if verify is None else bundle, cert or known.cert)
    return replace(
        settings,
        insecure=settings.insecure if verify is None else verify is False,
        ssl_context_factory=made if made.bundle or made.cert else made.base,
    )


def verification_of(settings: ClientSettings) -> bool | str:
    """Give what `verify` says of these settings."""
    factory = settings.ssl_context_factory
    if not settings.insecure and isinstance(factory, Trust) and factory.bundle is not None:
        return factory.bundle
    return not settings.insecure


def certificate_of(settings: ClientSettings) -> Certificate:
    """Give what `cert` says of these settings."""
    factory = settings.ssl_context_factory
    return factory.cert if isinstance(factory, Trust) else None

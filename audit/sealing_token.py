"""Signs checkpoints inside a token that never gives its keys away (PKCS #11): an HSM or a KMS."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.exceptions import ImproperlyConfigured

from audit.notes import Signer, fingerprint, public_bytes
from audit.sealing_keys import Keys, SealingKeysUnavailable

if TYPE_CHECKING:
    from pkcs11 import Session

LABEL = "tallenne-seal-"
ED25519 = "1.3.101.112"  # RFC 8410


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """Which token it is, the library that speaks to it, and the file that holds its PIN."""

    token: str
    module: str
    pin_source: Path

    @classmethod
    def parse(cls, uri: str) -> Self:
        """
        Read a PKCS #11 URI (RFC 7512) that has `token`, `module-path` and `pin-source`.

        Raises `django.core.exceptions.ImproperlyConfigured`.
        """
        parts = urlsplit(uri)
        pairs = [*parts.path.split(";"), *parts.query.split("&")]
        said = {name: unquote(value) for name, _, value in (pair.partition("=") for pair in pairs)}
        if parts.scheme != "pkcs11" or set(said) != {"token", "module-path", "pin-source"}:
            raise ImproperlyConfigured(
                "AUDIT_SEAL_TOKEN is not pkcs11:token=…?module-path=…&pin-source=…"
            )
        pin_source = Path(said["pin-source"].removeprefix("file:"))
        return cls(said["token"], said["module-path"], pin_source)


@dataclass(frozen=True, slots=True)
class _TokenKey:
    private: Any  # what it can do is decided by the token
    public: Ed25519PublicKey

    def sign(self, data: bytes) -> bytes:
        """Have the token sign. Raises SealingKeysUnavailable."""
        from pkcs11 import Mechanism

        with _translated():
            return bytes(self.private.sign(data, mechanism=Mechanism.EDDSA))

    def public_key(self) -> Ed25519PublicKey:
        """Give the public half."""
        return self.public


class TokenKeys:
    """
    The Ed25519 keys of a token whose labels begin with `tallenne-seal-`; the newest by label signs.

    Keys that signed `before`, from a folder, are found too, so that they can hand over.
    """

    def __init__(self, address: TokenAddress, *, before: Keys | None = None) -> None:
        self._address, self._before = address, before
        self._session: Session | None = None

    def current(self) -> Signer | None:
        """Give the newest key, None if there is none yet. Raises SealingKeysUnavailable."""
        with self._opened() as session:
            found = _keys(session)
        return found[-1] if found else None

    def find(self, wanted: str) -> Signer | None:
        """Give the key with that fingerprint, if it is here. Raises SealingKeysUnavailable."""
        with self._opened() as session:
            for key in _keys(session):
                if fingerprint(public_bytes(key.public)) == wanted:
                    return key
        return self._before.find(wanted) if self._before else None

    def create(self, *, now: datetime) -> Signer:
        """
        Have the token make a key that signs from now on, and that it never gives away.

        Raises SealingKeysUnavailable.
        """
        from pkcs11 import Attribute, KeyType, Mechanism
        from pkcs11.util.ec import encode_named_curve_parameters

        label = f"{LABEL}{now:%Y%m%dT%H%M%SZ}"
        with self._opened() as session:
            curve = {Attribute.EC_PARAMS: encode_named_curve_parameters(ED25519)}
            session.create_domain_parameters(
                KeyType.EC_EDWARDS, curve, local=True
            ).generate_keypair(
                id=secrets.token_bytes(8),
                label=label,
                store=True,
                mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN,
            )
            (made,) = (key for key in _keys(session) if key.private.label == label)
        return made

    @contextmanager
    def _opened(self) -> Iterator[Session]:
        """Use the session of before, or a new one; one that failed is not used again."""
        try:
            with _translated():
                if self._session is None:
                    self._session = self._open()
                yield self._session
        except SealingKeysUnavailable:
            self.close()
            raise

    def close(self) -> None:
        """Log out; a session that is closed is opened anew when it is needed."""
        session, self._session = self._session, None
        with suppress(SealingKeysUnavailable), _translated():
            if session is not None:
                session.close()

    def _open(self) -> Session:
        import pkcs11

        try:
            pin = self._address.pin_source.read_text().strip()
        except OSError as error:
            raise SealingKeysUnavailable("The file of the token's PIN cannot be read.") from error
        token = pkcs11.lib(self._address.module).get_token(token_label=self._address.token)
        return token.open(rw=True, user_pin=pin)


def _keys(session: Session) -> list[_TokenKey]:
    from pkcs11 import Attribute, KeyType, ObjectClass

    def found(kind: ObjectClass) -> list[Any]:
        # To the end at once: a token does nothing else while a search is open.
        wanted = {Attribute.CLASS: kind, Attribute.KEY_TYPE: KeyType.EC_EDWARDS}
        labelled: list[Any] = list(session.get_objects(wanted))
        return [one for one in labelled if (one.label or "").startswith(LABEL)]

    # 32 bytes, or an OCTET STRING of them.
    public = {
        (one.id, one.label): Ed25519PublicKey.from_public_bytes(one[Attribute.EC_POINT][-32:])
        for one in found(ObjectClass.PUBLIC_KEY)
    }
    private = sorted(found(ObjectClass.PRIVATE_KEY), key=lambda one: str(one.label))
    return [
        _TokenKey(one, public[one.id, one.label])
        for one in private
        if (one.id, one.label) in public
    ]


@contextmanager
def _translated() -> Iterator[None]:
    from pkcs11.exceptions import PKCS11Error

    try:
        yield
    except PKCS11Error as error:
        raise SealingKeysUnavailable(
            f"The token of the sealing keys does not answer ({type(error).__name__})."
        ) from error

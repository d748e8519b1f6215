"""Known weights, from their address into the models folder: whole and right, or not at all.

What arrives is hashed before it gets its name, never longer than the manifest says, and asked for
again after a while when the server or the line falters. Plain `urllib`: one file, no login.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import os
import random
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple
from urllib.parse import urlsplit

from crowdstream.errors import ConfigError, CrowdstreamError, DeviceError, MediaError
from crowdstream.models.find import read_manifest

if TYPE_CHECKING:
    from crowdstream.models.kinds import KnownWeights

READ_SECONDS: Final = 30.0
"""A server that says nothing for so long is taken for gone."""

TRIES: Final = 5
FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 30.0
_CHUNK: Final = 1 << 16
_MAY_COME_BACK: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Pulled(NamedTuple):
    """Where weights are now."""

    name: str
    path: Path
    sha256: str
    fetched: bool
    """False where they were there already, and right."""


def pull_model(
    name: str,
    folder: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
    retrying: Callable[[str, float], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    read_seconds: float = READ_SECONDS,
) -> Pulled:
    """Fetch weights that the manifest of `folder` names, and put them there.

    `progress` hears of bytes done and bytes in all, `retrying` why it waits and for how long.

    Raises:
        ConfigError: the manifest does not name it, its address will not do, or the folder cannot
            be written.
        DeviceError: the server is not there, or kept failing.
        MediaError: what came is not what the manifest names.
        CrowdstreamError: the server refuses.
    """
    weights = _the_weights(name, folder)
    place = folder / weights.file
    if _is_right(place, weights):
        return Pulled(weights.name, place, weights.sha256, fetched=False)
    check_address(weights.address)
    descriptor = -1
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, written = tempfile.mkstemp(dir=folder, prefix=f".{weights.file}.")
    except OSError as error:
        raise _unwritable(folder, error) from error
    temporary = Path(written)
    try:
        with os.fdopen(descriptor, "w+b") as opened:
            _fetch(weights, opened, progress, retrying, sleep, read_seconds)
            opened.flush()
            os.fsync(opened.fileno())
            temporary.chmod(0o644)
            temporary.replace(place)
            _keep_name(folder)
    except OSError as error:  # the disk's: those of the line have become sentences already
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise _unwritable(folder, error) from error
    except BaseException:  # Ctrl-C too leaves nothing behind
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    return Pulled(weights.name, place, weights.sha256, fetched=True)


def check_address(address: str) -> None:
    """Raises ConfigError for all but https; plain http only on this very machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        raise ConfigError("an address cannot be read: give one that begins https://") from None
    if parts.username or parts.password:
        raise ConfigError(f"the address at {host} holds a login: give one that needs none")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))):
        raise ConfigError(f"{address} is not fetched: an address must begin with https://")


def _the_weights(name: str, folder: Path) -> KnownWeights:
    known = read_manifest(folder)
    for weights in known:
        if name in (weights.name, weights.file):
            if Path(weights.file).name != weights.file or weights.file.startswith("."):
                raise ConfigError(
                    f"{folder / 'manifest.toml'}: {name}: file must be a plain file name,"
                    f" not {weights.file!r}"
                )
            return weights
    names = ", ".join(weights.name for weights in known) or "none, for there is no manifest.toml"
    raise ConfigError(
        f"{name!r} is not among the known weights of {folder}: {names}; any other file is added"
        " with: crowdstream models add FILE"
    )


def _is_right(place: Path, weights: KnownWeights) -> bool:
    try:
        if place.stat().st_size != weights.size:
            return False
        with place.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest() == weights.sha256
    except OSError:
        return False


def _fetch(
    weights: KnownWeights,
    into: BinaryIO,
    progress: Callable[[int, int], None] | None,
    retrying: Callable[[str, float], None] | None,
    sleep: Callable[[float], None],
    read_seconds: float,
) -> None:
    """All bytes of the weights into an empty file; anew from the first one after each failure."""
    host = urlsplit(weights.address).hostname
    for attempt in range(1, TRIES + 1):
        into.seek(0)
        into.truncate()
        try:
            _fetch_once(weights, into, progress, read_seconds)
            return
        except _Faltered as error:
            if attempt == TRIES:
                raise DeviceError(
                    f"{weights.name} could not be fetched from {host}, {TRIES} times: {error};"
                    " try again later, or copy the file there yourself"
                ) from error
            most = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1))
            # Half of it by chance: many machines that lost one server do not come back as one.
            seconds = most * random.uniform(0.5, 1.0)
            if retrying is not None:
                retrying(str(error), seconds)
            sleep(seconds)


class _Faltered(Exception):
    """This time it did not work; next time it may."""


def _fetch_once(
    weights: KnownWeights,
    into: BinaryIO,
    progress: Callable[[int, int], None] | None,
    read_seconds: float,
) -> None:
    host = urlsplit(weights.address).hostname or ""
    digest = hashlib.sha256()
    done = 0
    with _asked(weights.address, host, read_seconds) as answer:
        told = answer.headers.get("Content-Length")
        if told is not None and told.isdigit() and int(told) > weights.size:
            raise _not_it(weights, f"has {told} bytes, not {weights.size}")
        while True:
            try:
                # One byte more than there should be tells that there are too many.
                chunk = answer.read(min(_CHUNK, weights.size + 1 - done))
            except (OSError, http.client.HTTPException) as error:
                raise _Faltered(_why(error, host)) from error
            if not chunk:
                break
            done += len(chunk)
            if done > weights.size:
                raise _not_it(weights, f"has more than {weights.size} bytes")
            digest.update(chunk)
            into.write(chunk)
            if progress is not None:
                progress(done, weights.size)
    if done < weights.size:
        if told is not None and told.isdigit() and int(told) == done:
            raise _not_it(weights, f"has {done} bytes, not {weights.size}")
        raise _Faltered(f"the line was cut after {done} of {weights.size} bytes")
    if digest.hexdigest() != weights.sha256:
        raise _not_it(
            weights, f"hashes to {digest.hexdigest()[:12]}…, not to {weights.sha256[:12]}…"
        )


def _asked(address: str, host: str, read_seconds: float) -> Any:
    """The server's answer, open for reading."""
    handlers: list[urllib.request.BaseHandler] = [_Careful()]
    if _is_here(host):
        handlers.append(urllib.request.ProxyHandler({}))  # no proxy knows the way to this machine
    request = urllib.request.Request(  # noqa: S310  its scheme was checked
        address, headers={"User-Agent": "crowdstream", "Accept-Encoding": "identity"}
    )
    try:
        return urllib.request.build_opener(*handlers).open(request, timeout=read_seconds)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in _MAY_COME_BACK:
            raise _Faltered(f"it answered {error.code} {error.reason}") from error
        raise CrowdstreamError(
            f"{host} refuses {address}: {error.code} {error.reason}; look whether it has moved,"
            " and copy the file into the models folder yourself"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _Faltered(_why(error, host)) from error


class _Careful(urllib.request.HTTPRedirectHandler):
    """Follows where it is sent, but never away from https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and not (req.type == "http" and scheme == "http"):
            raise CrowdstreamError(
                f"{req.host} sends us on to {scheme or 'nowhere'}, not to https: not followed"
            )
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _why(error: Exception, host: str) -> str:
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, TimeoutError):
        return f"{host} did not answer in time"
    if isinstance(cause, http.client.IncompleteRead):
        return "the line was cut"
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)


def _not_it(weights: KnownWeights, how: str) -> MediaError:
    return MediaError(
        f"what {urlsplit(weights.address).hostname} gives for {weights.name} is not the file of"
        f" models/manifest.toml: it {how}; nothing was kept"
    )


def _unwritable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{folder}: cannot write there ({error.strerror}): name another models folder"
    )


def _keep_name(folder: Path) -> None:
    """Make the file's new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

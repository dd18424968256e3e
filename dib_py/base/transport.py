"""One request for a file somewhere else, through fsspec: no retries, no files, no memory.

HTTP goes through fsspec's HTTP filesystem, conditional and ranged; any other scheme through the filesystem that has
it. What comes is handed to a receiver as it comes.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from dib_py.errors import BaseError

BLOCK = 1024 * 1024  # bytes
CONNECT = 30.0  # seconds
# names under which other programs know certificate authorities; OpenSSL itself reads SSL_CERT_FILE and SSL_CERT_DIR
CA_VARIABLES = ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


class TransientError(Exception):
    """The request failed in a way that passes; ``after`` is how long the server asked to be left alone, in seconds."""

    def __init__(self, message: str, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after


class NotResumableError(Exception):
    """The server does not have the range that was asked for: begin again."""


@dataclass(frozen=True)
class Version:
    """What tells one version of a remote file from another; empty strings where the server does not say."""

    etag: str = ""
    modified: str = ""
    size: int | None = None

    @property
    def strong(self) -> str:
        """What If-Range may hold: a strong entity tag, else the date (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


@dataclass(frozen=True)
class Request:
    """``offset`` > 0 asks for the rest of the version ``known``, or for all if there is a newer one; with 0 and a
    ``known`` version, only a newer one is asked for."""

    url: str
    offset: int = 0
    known: Version | None = None
    stall: float = 60.0  # seconds without a byte
    slowest: float = 1024.0  # bytes a second, over the length of a stall
    authorities: tuple[str, ...] = ()  # files of certificate authorities to trust besides the system's


@dataclass(frozen=True)
class Reply:
    """``start`` is the offset of the first byte that follows; ``framed`` is false where an end that comes too early
    can't be seen."""

    version: Version
    start: int = 0
    unchanged: bool = False
    framed: bool = True


class Receiver(Protocol):
    def begin(self, reply: Reply) -> None: ...
    def write(self, chunk: bytes) -> None: ...


def shown(url: str) -> str:
    """The address without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="", fragment="").geturl()


def request(wanted: Request, receiver: Receiver) -> None:
    """Carry out one request.

    Raises TransientError, NotResumableError, or BaseError for what trying again would not mend.
    """
    if urlsplit(wanted.url).scheme in ("http", "https"):
        asyncio.run(_http(wanted, receiver))
    else:
        _other(wanted, receiver)


def authorities(environ: Mapping[str, str], more: str) -> tuple[str, ...]:
    """Files of certificate authorities that the environment and the settings name."""
    return tuple(path for path in (*(environ.get(name, "") for name in CA_VARIABLES), more) if path)


# -- HTTP


async def _http(wanted: Request, receiver: Receiver) -> None:
    import aiohttp
    from fsspec.implementations.http import HTTPFileSystem

    # identity and raw: the file is wanted as it lies there, also when the server takes its .gz for an encoding
    filesystem = HTTPFileSystem(
        asynchronous=True,
        loop=asyncio.get_running_loop(),
        skip_instance_cache=True,
        client_kwargs={
            "headers": _headers(wanted),
            "timeout": aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=wanted.stall),
            "connector": aiohttp.TCPConnector(ssl=_tls(wanted.authorities)),
            "trust_env": True,
            "auto_decompress": False,
        },
    )
    session = await filesystem.set_session()
    try:
        file = await filesystem.open_async(wanted.url, size=1)  # any size saves a HEAD request
        try:
            await _stream(file, wanted, receiver)
        finally:
            await file.close()
    except FileNotFoundError as error:
        raise BaseError(f"{shown(wanted.url)} is not there (404)") from error
    except aiohttp.ClientResponseError as error:
        raise _status(error.status, error.headers or {}, wanted) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise BaseError(
            f"{shown(wanted.url)}: the server's certificate can't be trusted: {error.certificate_error}",
            hint="--ca-bundle FILE, or SSL_CERT_FILE, names further certificate authorities",
        ) from error
    except aiohttp.InvalidURL as error:
        raise BaseError(f"{shown(wanted.url)} is no valid address") from error
    except (asyncio.TimeoutError, TimeoutError) as error:
        raise TransientError(f"nothing came for {wanted.stall:g} s") from error
    except aiohttp.ClientError as error:
        raise TransientError(str(error) or type(error).__name__) from error
    finally:
        await session.close()


async def _stream(file: Any, wanted: Request, receiver: Receiver) -> None:
    chunk = await file.read(BLOCK)  # the request goes out with the first read
    receiver.begin(_reply(file.r, wanted))
    since, count = time.monotonic(), 0
    while chunk:
        receiver.write(chunk)
        count += len(chunk)
        if (elapsed := time.monotonic() - since) > wanted.stall:
            if count < wanted.slowest * elapsed:
                raise TransientError(f"the server sends less than {wanted.slowest:g} bytes a second")
            since, count = time.monotonic(), 0
        chunk = await file.read(BLOCK)


def _headers(wanted: Request) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    known = wanted.known
    if wanted.offset:
        headers["Range"] = f"bytes={wanted.offset}-"
        if known and known.strong:
            headers["If-Range"] = known.strong
    elif known:
        if known.etag:
            headers["If-None-Match"] = known.etag
        if known.modified:
            headers["If-Modified-Since"] = known.modified
    return headers


def _tls(files: tuple[str, ...]) -> ssl.SSLContext | bool:
    if not files:
        return True
    context = ssl.create_default_context()
    for file in files:
        try:
            context.load_verify_locations(cafile=file)
        except OSError as error:  # ssl.SSLError is one
            raise BaseError(f"certificate authorities can't be read from {file}: {error.strerror or error}") from error
    return context


def _reply(response: Any, wanted: Request) -> Reply:
    headers = response.headers
    etag, modified = headers.get("ETag", ""), headers.get("Last-Modified", "")
    if response.status == 304:
        return Reply(wanted.known or Version(), unchanged=True)
    length = headers.get("Content-Length")
    size = int(length) if length is not None and length.isdigit() else None
    framed = size is not None or "chunked" in headers.get("Transfer-Encoding", "").lower()
    if response.status != 206:
        return Reply(Version(etag, modified, size), framed=framed)
    start, total = _content_range(headers.get("Content-Range", ""))
    if start != wanted.offset:
        raise NotResumableError
    return Reply(Version(etag, modified, total), start=start, framed=framed or total is not None)


def _content_range(text: str) -> tuple[int, int | None]:
    """Start and total of ``bytes START-END/TOTAL``; a start of -1 for anything else."""
    unit, _, rest = text.strip().partition(" ")
    span, _, total = rest.partition("/")
    start = span.partition("-")[0]
    if unit != "bytes" or not start.isdigit():
        return -1, None
    return int(start), int(total) if total.isdigit() else None


def _status(status: int, headers: Mapping[str, str], wanted: Request) -> Exception:
    if status == 416:
        return NotResumableError()
    if status in (408, 425, 429) or status >= 500:
        after = headers.get("Retry-After", "")
        return TransientError(f"the server answers {status}", float(after) if after.isdigit() else 0.0)
    hint = "the address may need a user and a password" if status in (401, 403, 407) else ""
    return BaseError(f"{shown(wanted.url)}: the server answers {status}", hint=hint)


# -- everything else


def _other(wanted: Request, receiver: Receiver) -> None:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(wanted.url)
        info = filesystem.info(path)
        version = Version(str(info.get("ETag", "")), _modified(info), info.get("size"))
        if not wanted.offset and wanted.known == version:
            return receiver.begin(Reply(version, unchanged=True))
        start = wanted.offset if wanted.known == version else 0
        receiver.begin(Reply(version, start=start))
        with filesystem.open(path, "rb") as file:
            file.seek(start)
            while chunk := file.read(BLOCK):
                receiver.write(chunk)
    except FileNotFoundError as error:
        raise BaseError(f"{shown(wanted.url)} is not there") from error
    except PermissionError as error:
        raise BaseError(f"{shown(wanted.url)} may not be read") from error
    except (ValueError, ImportError) as error:
        raise BaseError(f"{shown(wanted.url)} can't be reached: {error}") from error
    except OSError as error:
        raise TransientError(str(error)) from error
    return None


def _modified(info: Mapping[str, object]) -> str:
    return next((str(info[name]) for name in ("LastModified", "mtime", "updated", "modified") if name in info), "")

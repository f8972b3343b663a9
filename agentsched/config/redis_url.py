"""The one spelling of where Redis is, for our ledger and for Celery; pure."""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379}
FORM = (
    "redis://HOST:PORT/DB, rediss://USER:PASSWORD@HOST:PORT/DB (TLS), or"
    " sentinel://:PASSWORD@HOST:PORT/DB;sentinel://HOST:PORT"
)

BEFORE_HOST = "it stands before the host, as in redis://USER:PASSWORD@HOST:PORT/DB"
IN_SETTINGS = "say it with redis.tls_ca_file, redis.tls_cert_file, redis.tls_key_file"
ALWAYS_CHECKED = "remove it; the certificate is always checked, by redis.tls_ca_file"
PARAMETERS = {
    "password": BEFORE_HOST,
    "username": BEFORE_HOST,
    "db": "it is the path, as in redis://HOST:PORT/3",
    "virtual_host": "it is the path, as in redis://HOST:PORT/3",
    "ssl_cert_reqs": ALWAYS_CHECKED,
    "ssl_check_hostname": "say redis.tls_check_hostname",
    "ssl_ca_certs": IN_SETTINGS,
    "ssl_certfile": IN_SETTINGS,
    "ssl_keyfile": IN_SETTINGS,
    **dict.fromkeys(
        ("socket_timeout", "socket_connect_timeout", "socket_keepalive"),
        "remove it; time-outs are AgentSched's own",
    ),
    **dict.fromkeys(
        ("health_check_interval", "max_connections", "retry_on_timeout", "protocol"),
        "remove it; how it connects is AgentSched's own",
    ),
}
"""What redis-py or kombu take behind a `?` -> what to write instead."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A parsed URL.

    Attributes:
        scheme: redis, rediss or sentinel.
        hosts: (host, port); several for Sentinels only.
        username: of the data server.
        password: of the data server.
        db: the number of the database.
    """

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    username: str | None
    password: str | None
    db: int

    @property
    def is_sentinel(self) -> bool:
        """Whether the hosts are Sentinels, which know where the data server is."""
        return self.scheme == "sentinel"

    def __repr__(self) -> str:
        """Name it without the password."""
        return self.shown

    @property
    def shown(self) -> str:
        """The URL as logs and pages may have it: without the password."""
        login = f"{self.username or ''}:***@" if self.password else ""
        return self._urls(login)

    @property
    def bare(self) -> str:
        """The URL without user and password."""
        return self._urls("")

    def _urls(self, login: str) -> str:
        return ";".join(
            f"{self.scheme}://{login}{_bracketed(host)}:{port}/{self.db}"
            for host, port in self.hosts
        )


def parse_redis_url(text: str) -> RedisAddress:
    """Read a URL, or several Sentinels' with `;` between them.

    Raises:
        ValueError: says what is wrong, without a part of the text.
    """
    parts = [_parse_one(part.strip()) for part in text.split(";")]
    first = parts[0]
    if len(parts) > 1 and not all(part.is_sentinel for part in parts):
        raise ValueError("several addresses must all be sentinel:// URLs")
    for part in parts[1:]:
        if (part.username, part.password) not in {
            (None, None),
            (first.username, first.password),
        }:
            raise ValueError(
                "user and password are the data server's: give them once, in the first"
                " URL (redis.sentinel_password is the Sentinels' own)"
            )
        if part.db not in {0, first.db}:
            raise ValueError("the number of the database stands in the first URL only")
    hosts = tuple(host for part in parts for host in part.hosts)
    return RedisAddress(first.scheme, hosts, first.username, first.password, first.db)


def _parse_one(text: str) -> RedisAddress:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(
            f"must be {FORM}; write special characters of a password as %40 and so on"
        ) from None
    if url.scheme not in DEFAULT_PORTS or not url.hostname or "@" in url.path:
        raise ValueError(f"must be {FORM}")
    if url.query or url.fragment:
        raise ValueError(_no_parameters(url.query))
    db = url.path.removeprefix("/") or "0"
    if not (db.isascii() and db.isdigit()):
        raise ValueError("the path must be the number of a database, such as /0")
    return RedisAddress(
        scheme=url.scheme,
        hosts=((url.hostname, port or DEFAULT_PORTS[url.scheme]),),
        username=unquote(url.username) if url.username else None,
        password=unquote(url.password) if url.password else None,
        db=int(db),
    )


def _no_parameters(query: str) -> str:
    """Say where that belongs instead; names only what is no part of a password.

    Our clients and Celery's would each read them in a way of their own, or not at all.
    """
    given = {name for name in PARAMETERS if re.search(rf"(^|&){name}=", query)}
    texts = [
        f"`{name}` is no parameter of it: {PARAMETERS[name]}" for name in sorted(given)
    ]
    return "; ".join(
        [
            "takes nothing behind `?` or `#`",
            *texts,
            "write a # of a password as %23, a ? as %3F",
        ]
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

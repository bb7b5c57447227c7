"""Which names a CA allows below it, as Go's crypto/x509 judges that (constraints.go of Go 1.26). Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORT = re.compile(r":[0-9]*$")
_REST = r"[^\x00-\x1f\x7f]*"
_URI = re.compile(
    rf"""
      [a-z][a-z0-9+.-]*:(?!//){_REST}                              # such as urn:corp:mesh
    | (?:[a-z][a-z0-9+.-]*:)? //
      (?:[\w.~!$&'()*+,;=:%-]*@)? [\w.~!$&'()*+,;=<>"%\[\]-]* (?::[0-9]*)? (?:[/?\#]{_REST})?
    | (?!//) (?:[^:/?\#\x00-\x1f\x7f]* (?:[/?\#]{_REST})?)
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True)
class Names:
    """Names by their kind: those of a certificate, or those that a CA permits or excludes below it.

    Attributes:
        dns: DNS names; of a CA, domains.
        mails: E-mail addresses; of a CA, domains too.
        uris: URIs; of a CA, domains of their hosts.
        ips: IP addresses; of a CA, networks: address, then mask.
    """

    dns: tuple[str, ...] = ()
    mails: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    ips: tuple[bytes, ...] = ()


NO_NAMES = Names()


@dataclass(frozen=True, slots=True)
class NameConstraints:
    """A CA's name constraints: of a kind of which nothing is permitted, everything is."""

    permitted: Names
    excluded: Names

    def refused(self, names: Names) -> list[str]:
        """Those of the names that may not be below the CA, each with its kind."""
        permitted, excluded = self.permitted, self.excluded
        judged = (
            *(
                (f"IP address {ipaddress.ip_address(ip)}", _has_ip(permitted, excluded, ip))
                for ip in names.ips
            ),
            *((f"DNS name {dns}", _has_dns(permitted, excluded, dns)) for dns in names.dns),
            *((f"URI {uri}", _has_uri(permitted, excluded, uri)) for uri in names.uris),
            *((f"e-mail address {mail}", _has_mail(permitted, excluded, mail)) for mail in names.mails),
        )
        return [name for name, allowed in judged if not allowed]


def is_uri(text: str) -> bool:
    """Whether Go's net/url parses a text as a URI with a host that can be one, or without a host."""
    if not _URI.fullmatch(text) or _BAD_ESCAPE.search(text.partition("?")[0]):
        return False
    try:
        return is_domain(host_of(text))
    except ValueError:
        return False


def host_of(uri: str) -> str:
    """The host of a URI, with its port where it has one."""
    return urlsplit(uri).netloc.rpartition("@")[2]


def is_domain(text: str, *, constraint: bool = False) -> bool:
    """Whether Go takes a text for a domain; in a constraint, a dot in front stands for any label."""
    if not text:
        return True
    labels = (text[1:] if constraint and text[0] == "." else text).split(".")
    return all(label and all("!" <= letter <= "~" for letter in label) for label in labels)


def _has_dns(permitted: Names, excluded: Names, dns: str) -> bool:
    return is_domain(dns) and _within(dns, permitted.dns, excluded.dns)


def _has_uri(permitted: Names, excluded: Names, uri: str) -> bool:
    """A URI without a host, or with an address, is allowed below no CA that has constraints of any kind."""
    host = _PORT.sub("", host_of(uri))
    return bool(host) and not _is_address(host) and _within(host, permitted.uris, excluded.uris)


def _has_mail(permitted: Names, excluded: Names, mail: str) -> bool:
    local, _, domain = mail.rpartition("@")

    def covered(limit: str) -> bool:
        if "@" not in limit:
            return _is_below(domain, limit)
        limit_local, _, limit_domain = limit.rpartition("@")
        return (local, domain.lower()) == (limit_local, limit_domain.lower())

    if not local or not domain or not is_domain(domain):
        return False
    return (not permitted.mails or any(map(covered, permitted.mails))) and not any(
        map(covered, excluded.mails)
    )


def _has_ip(permitted: Names, excluded: Names, ip: bytes) -> bool:
    def covered(network: bytes) -> bool:
        base, mask = network[: len(ip)], network[len(ip) :]
        return len(network) == 2 * len(ip) and all(
            a & m == b & m for a, b, m in zip(ip, base, mask, strict=True)
        )

    return (not permitted.ips or any(map(covered, permitted.ips))) and not any(map(covered, excluded.ips))


def _within(name: str, permitted: tuple[str, ...], excluded: tuple[str, ...]) -> bool:
    allowed = not permitted or any(_is_below(name, domain) for domain in permitted)
    return allowed and not any(_is_below(name, domain) for domain in excluded)


def _is_below(name: str, domain: str) -> bool:
    name, domain = name.lower(), domain.lower()
    if not domain:
        return True
    if domain.startswith("."):
        return len(name) > len(domain) and name.endswith(domain)
    return name == domain or name.endswith(f".{domain}")


def _is_address(host: str) -> bool:
    if host.startswith("["):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

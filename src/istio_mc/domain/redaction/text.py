"""One text, its secrets found by every rule at once, and replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from istio_mc.domain.redaction import context, encoded, jwk, secret_objects, shapes, told
from istio_mc.domain.redaction.invisible import Seen
from istio_mc.domain.redaction.spans import Span, Squeezed, merged

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

KNOWN = "known secret"
_DEEPEST = 4


def secrets(text: str, known: Collection[str] = ()) -> list[Span]:
    """What of a text shall not be handed on, in order and apart.

    Args:
        text: Any text: a log, YAML, JSON, a line of either, in whatever escapes.
        known: Secrets known by their value, and the forms base64 gives them (`known_forms`).
    """
    seen = Seen.of(text)
    found = [span for span in _look(seen.text, known, _DEEPEST) if span.kind != shapes.CERTIFICATE]
    return [Span(*seen.origin(span.start, span.end), span.kind) for span in found]


def known_forms(value: str) -> frozenset[str]:
    """A secret, as it may stand in a text without blanks and escapes: as it is, and in base64."""
    squeezed = Squeezed.of(value).text
    return shapes.encoded_forms(value, 2) | {squeezed}


def _look(text: str, known: Collection[str], depth: int) -> list[Span]:
    if not depth:
        return []
    squeezed = Squeezed.of(text)
    found = list(shapes.spans(squeezed))
    found += encoded.spans(squeezed, lambda inner: _look(inner, known, depth - 1))
    found += _known(squeezed, known)
    public = [span for span in found if span.kind == shapes.CERTIFICATE]
    # A certificate looks like random letters, and is none of anybody's secrets.
    found = [span for span in found if not (span.kind == shapes.OPAQUE and _within(span, public))]
    private = [span for span in found if span.kind != shapes.CERTIFICATE]
    private += [*context.spans(text), *told.spans(text), *secret_objects.spans(text), *jwk.spans(text)]
    return [*merged(private), *public]


def _within(span: Span, others: list[Span]) -> bool:
    return any(other.start <= span.start and span.end <= other.end for other in others)


def _known(squeezed: Squeezed, known: Collection[str]) -> Iterator[Span]:
    for value in known:
        at = squeezed.text.find(value)
        while at >= 0:
            yield squeezed.span(at, at + len(value), KNOWN)
            at = squeezed.text.find(value, at + len(value))

"""`istio-mc ca`: the signatures of init, issue, show, verify and rotate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from istio_mc.cli import completers, edge

if TYPE_CHECKING:
    from istio_mc.ops.ca.options import CaOptions
    from istio_mc.ops.session.session import Session

app = typer.Typer(
    name="ca",
    help="The mesh's root CA, and an intermediate CA for each cluster.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

CertsDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the mesh's CA [default: mesh.yaml's certsDir, else certs].",
        file_okay=False,
    ),
]
KeyTypeOption = Annotated[
    Literal["rsa", "ec"] | None,
    typer.Option(
        metavar="rsa|ec",
        help="Key type [default: mesh.yaml's, the root's, rsa].",
        show_default=False,
    ),
]
KeySize = Annotated[
    int | None,
    typer.Option(
        metavar="BITS",
        help="Bits [default: mesh.yaml, the root's, 3072 or 256].",
        show_default=False,
    ),
]
Validity = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="In hours or days, at most the issuer's [default: mesh.yaml's, else 87600h].",
        show_default=False,
    ),
]
IssuerKey = Annotated[Path | None, typer.Option(metavar="FILE", help="Key of that CA.", dir_okay=False)]
IssuerChain = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificates between that CA and the root, if any.", dir_okay=False),
]


@app.command()
def init(
    ctx: typer.Context,
    *,
    certs_dir: CertsDir = None,
    key_type: KeyTypeOption = None,
    key_size: KeySize = None,
    validity: Validity = None,
    root_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Certificate of your own root CA.", dir_okay=False),
    ] = None,
    root_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Key of your own root CA.", dir_okay=False)
    ] = None,
    issuer_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Instead of the root's key: a CA below your root that signs the clusters' CAs.",
            dir_okay=False,
        ),
    ] = None,
    issuer_key: IssuerKey = None,
    issuer_chain: IssuerChain = None,
) -> None:
    """Create the mesh's root CA, or import your own.

    An existing root is kept and never overwritten. An option that contradicts the existing root is an
    error.

    Examples:

      istio-mc ca init

      istio-mc ca init --key-type ec --key-size 384 --validity 3650d

      istio-mc ca init --root-cert corp-root.pem --root-key corp-root.key

      istio-mc ca init --root-cert r.pem --issuer-cert ca.pem --issuer-key ca.key
    """
    from datetime import UTC, datetime

    from istio_mc.ops.ca import authority
    from istio_mc.ops.ca.folder import ca_and_settings
    from istio_mc.ops.ca.options import OwnCa, options_of, trust_domains
    from istio_mc.present.ca import initialised

    options: edge.Options = ctx.obj

    own = OwnCa(
        root_cert=root_cert,
        root_key=root_key,
        issuer_cert=issuer_cert,
        issuer_key=issuer_key,
        issuer_chain=issuer_chain,
    )

    def work(progress: edge.Progress) -> edge.Report:
        store, settings = ca_and_settings(options.inputs(), certs_dir, progress)
        made = options_of(
            settings.ca,
            key_type,
            key_size,
            validity,
            own=own if own != OwnCa() else None,
            trust_domains=trust_domains(settings),
        )
        return initialised(authority.init(store, made, datetime.now(UTC)))

    edge.run("ca init", options, work)


@app.command(short_help="Issue a CA for every cluster without one.")
def issue(
    ctx: typer.Context,
    *,
    cluster_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID", help="Cluster to issue a CA for; repeatable [default: the clusters of the run]."
        ),
    ] = None,
    certs_dir: CertsDir = None,
    key_type: KeyTypeOption = None,
    key_size: KeySize = None,
    validity: Validity = None,
) -> None:
    """Issue a CA for every cluster without one; existing CAs are kept.

    `istio-mc install` does this automatically.

    Examples:

      istio-mc ca issue --contexts kt,ncloud,nhn

      istio-mc ca issue --cluster-id kt-k2p --cluster-id nhn-nks
    """
    from datetime import UTC, datetime

    from istio_mc.ops.ca import authority
    from istio_mc.ops.ca.folder import ca_and_settings
    from istio_mc.ops.ca.options import options_of
    from istio_mc.ops.session.session import cluster_ids
    from istio_mc.present.ca import issued

    options: edge.Options = ctx.obj

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs()
        store, settings = ca_and_settings(inputs, certs_dir, progress)
        made = options_of(settings.ca, key_type, key_size, validity)
        ids = edge.each(cluster_id) or cluster_ids(inputs, progress)
        return issued(authority.issue(store, ids, made, datetime.now(UTC)))

    edge.run("ca issue", options, work)


@app.command(short_help="Show subjects, dates and fingerprints; never a key.")
def show(ctx: typer.Context, *, certs_dir: CertsDir = None) -> None:
    """Show subject, dates and fingerprint of the root and of every cluster's CA. Never shows a key.

    Examples:

      istio-mc ca show --certs-dir certs
    """
    from istio_mc.ops.ca import authority
    from istio_mc.ops.ca.folder import ca_store
    from istio_mc.present.ca import shown

    options: edge.Options = ctx.obj

    edge.run(
        "ca show", options, lambda _progress: shown(authority.show(ca_store(options.inputs(), certs_dir)))
    )


@app.command(short_help="Check chains, keys and dates, and the root of the clusters.")
def verify(ctx: typer.Context, *, certs_dir: CertsDir = None) -> None:
    """Check chain, key match, validity, and that all clusters use the same root.

    Checks the folder; `istio-mc verify` checks the clusters. Exit code 4 means that a check failed.

    Examples:

      istio-mc ca verify --certs-dir certs
    """
    from datetime import UTC, datetime

    from istio_mc.ops.ca import authority
    from istio_mc.ops.ca.folder import ca_store
    from istio_mc.present.ca import verified

    options: edge.Options = ctx.obj

    def work(_progress: edge.Progress) -> edge.Report:
        return verified(authority.verify(ca_store(options.inputs(), certs_dir), datetime.now(UTC)))

    edge.run("ca verify", options, work)


@app.command(short_help="Replace the root CA, or the clusters' CAs, of a running mesh.")
def rotate(
    ctx: typer.Context,
    *,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="CONTEXT",
            help="Cluster to change first in each phase.",
            autocompletion=completers.contexts,
        ),
    ] = None,
    rehearse: Annotated[
        bool,
        typer.Option("--rehearse", "--dry-run", help="Run all checks of the rotation; change nothing."),
    ] = False,
    intermediates: Annotated[
        bool,
        typer.Option("--intermediates", help="Replace each cluster's CA; keep the root."),
    ] = False,
    without_folder: Annotated[
        bool,
        typer.Option(
            "--without-folder",
            help="Revert or finish a change without the CA's folder.",
        ),
    ] = False,
    root_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Go to a root of your own: its certificate.", dir_okay=False),
    ] = None,
    root_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its key; else requests are written.", dir_okay=False),
    ] = None,
    issuer_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A CA below it that signs here instead.", dir_okay=False),
    ] = None,
    issuer_key: IssuerKey = None,
    issuer_chain: IssuerChain = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Bring all clusters to the root of the CA's folder."),
    ] = False,
    certs_dir: CertsDir = None,
    key_type: KeyTypeOption = None,
    key_size: KeySize = None,
    validity: Validity = None,
) -> None:
    """Replace the root CA of a running mesh, in phases that every proxy follows.

    Nothing is overwritten. After an interruption, the same command continues.

    Examples:

      istio-mc ca rotate --canary kt

      istio-mc ca rotate --merge --contexts kt,ncloud,nhn

      istio-mc ca rotate --root-cert corp-root.pem
    """
    from istio_mc.ops.ca.options import OwnCa, options_of, trust_domains
    from istio_mc.ops.session.inputs import Overrides
    from istio_mc.ops.session.session import open_members

    options: edge.Options = ctx.obj
    own = OwnCa(
        root_cert=root_cert,
        root_key=root_key,
        issuer_cert=issuer_cert,
        issuer_key=issuer_key,
        issuer_chain=issuer_chain,
    )
    if sum((merge, intermediates, without_folder, own != OwnCa())) > 1:
        raise typer.BadParameter(
            "--merge, --intermediates, --without-folder and a root of your own cannot be combined"
        )

    def work(progress: edge.Progress) -> edge.Report:
        inputs = options.inputs(timeout="1h")
        with (
            open_members(inputs, progress, Overrides(certs_dir)) as opened,
            opened.changing("ca rotate", dry_run=rehearse, lists_rights=True) as session,
        ):
            made = options_of(
                session.settings.ca,
                key_type,
                key_size,
                validity,
                own=own if own != OwnCa() else None,
                trust_domains=trust_domains(session.settings),
            )
            if intermediates:
                return _rotate_intermediates(session, made, canary, rehearse=rehearse)
            return _rotate_root(
                session, made, canary, merge=merge, without_folder=without_folder, rehearse=rehearse
            )

    edge.run("ca rotate", options, work)


def _rotate_intermediates(
    session: Session, made: CaOptions, canary: str | None, *, rehearse: bool
) -> edge.Report:
    from datetime import UTC, datetime

    from istio_mc.ops.rotation import intermediates as op
    from istio_mc.present.intermediate_rotation import report

    now = datetime.now(UTC)
    todo = op.prepare(session, made, now, canary)
    if rehearse or todo.problems:
        return report(op.rehearse(session, todo), session.warnings)
    return report(op.rotate(session, todo, made, now), session.warnings)


def _rotate_root(
    session: Session,
    made: CaOptions,
    canary: str | None,
    *,
    merge: bool,
    without_folder: bool,
    rehearse: bool,
) -> edge.Report:
    from datetime import UTC, datetime

    from istio_mc.ops.rotation import merge as merging
    from istio_mc.ops.rotation import own_root
    from istio_mc.ops.rotation import root as op
    from istio_mc.present.root_rotation import report

    now = datetime.now(UTC)
    own = own_root.read_own(session, made, now) if made.own else None
    if merge:
        todo = merging.prepare(session, now, canary)
    elif own:
        todo = own_root.prepare(session, own, made, now, canary)
    else:
        todo = op.prepare(session, made, now, canary, without_folder=without_folder)
    if rehearse or todo.problems:
        return report(op.rehearse(session, todo), session.warnings)
    if todo.as_signed:
        return report(op.end_as_signed(session, todo, todo.as_signed, now), session.warnings)
    if merge:
        return report(merging.rotate(session, todo, made, now), session.warnings)
    if own:
        return report(own_root.rotate(session, own, todo, made, now), session.warnings)
    return report(op.rotate(session, todo, made, now), session.warnings)

"""`istio-mc ca`: the signatures of init, issue, show and verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    name="ca",
    help="The mesh's root CA, and one CA below it for each cluster.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

CertsDir = Annotated[
    Path,
    typer.Option(
        help="Where root-cert.pem, root-ca.key and one folder for each cluster are kept.", file_okay=False
    ),
]
KeyTypeOption = Annotated[Literal["rsa", "ec"], typer.Option(help="Kind of key to make.")]
KeySize = Annotated[
    int | None,
    typer.Option(help="Bits: 2048, 3072 or 4096 for rsa, 256 or 384 for ec.", show_default="3072 or 256"),
]
Validity = Annotated[
    str,
    typer.Option(
        help="How long new certificates are valid, in hours or days (87600h, 3650d). "
        "A cluster's CA ends with its issuer at the latest."
    ),
]
ClusterIds = Annotated[
    list[str], typer.Option("--cluster-id", help="Cluster to issue a CA for; repeat it for more.")
]


@app.command()
def init(
    *,
    certs_dir: CertsDir = Path("certs"),
    key_type: KeyTypeOption = "rsa",
    key_size: KeySize = None,
    validity: Validity = "87600h",
    root_cert: Annotated[
        Path | None, typer.Option(help="Bring a root of your own: its certificate.", dir_okay=False)
    ] = None,
    root_key: Annotated[Path | None, typer.Option(help="The key of your own root.", dir_okay=False)] = None,
    issuer_cert: Annotated[
        Path | None,
        typer.Option(
            help="Instead of the root's key: a CA below your root, which is to sign the clusters' CAs.",
            dir_okay=False,
        ),
    ] = None,
    issuer_key: Annotated[Path | None, typer.Option(help="The key of that CA.", dir_okay=False)] = None,
    issuer_chain: Annotated[
        Path | None,
        typer.Option(help="What stands between that CA and the root, if anything does.", dir_okay=False),
    ] = None,
) -> None:
    """Make the mesh's root CA, or bring in one of your own.

        A root that is there already is kept: it is never overwritten.

        For example:

    istio-mc ca init

          istio-mc ca init --key-type ec --key-size 384 --validity 3650d

          istio-mc ca init --root-cert corp-root.pem --root-key corp-root.key

          istio-mc ca init --root-cert corp-root.pem --issuer-cert mesh-ca.pem --issuer-key mesh-ca.key
    """
    from datetime import UTC, datetime

    from istio_mc.cli import edge
    from istio_mc.domain.certificates import parse_validity
    from istio_mc.domain.keys import KeySpec
    from istio_mc.gateways.castore import CaStore
    from istio_mc.ops import ca
    from istio_mc.ops.ca_root import OwnCa

    own = OwnCa(
        root_cert=root_cert,
        root_key=root_key,
        issuer_cert=issuer_cert,
        issuer_key=issuer_key,
        issuer_chain=issuer_chain,
    )
    options = ca.CaOptions(
        key=KeySpec.of(key_type, key_size),
        validity=parse_validity(validity),
        own=own if own != OwnCa() else None,
    )
    edge.finish(ca.init(CaStore(certs_dir), options, datetime.now(UTC)))


@app.command()
def issue(
    *,
    cluster_id: ClusterIds,
    certs_dir: CertsDir = Path("certs"),
    key_type: KeyTypeOption = "rsa",
    key_size: KeySize = None,
    validity: Validity = "87600h",
) -> None:
    """Issue a CA for every cluster named that has none yet.

        One that is there is kept. `istio-mc install` does this by itself.

        For example:

    istio-mc ca issue --cluster-id kt-k2p --cluster-id ncloud-nks --cluster-id nhn-nks
    """
    from datetime import UTC, datetime

    from istio_mc.cli import edge
    from istio_mc.domain.certificates import parse_validity
    from istio_mc.domain.keys import KeySpec
    from istio_mc.gateways.castore import CaStore
    from istio_mc.ops import ca

    options = ca.CaOptions(key=KeySpec.of(key_type, key_size), validity=parse_validity(validity))
    edge.finish(ca.issue(CaStore(certs_dir), cluster_id, options, datetime.now(UTC)))


@app.command()
def show(certs_dir: CertsDir = Path("certs")) -> None:
    """Show subject, dates and fingerprint of the root and of every cluster's CA. No key is ever shown.

        For example:

    istio-mc ca show --certs-dir certs
    """
    from istio_mc.cli import edge
    from istio_mc.gateways.castore import CaStore
    from istio_mc.ops import ca

    edge.finish(ca.show(CaStore(certs_dir)))


@app.command()
def verify(certs_dir: CertsDir = Path("certs")) -> None:
    """Check chain, key match, validity, and that every cluster runs under the same root.

        For example:

    istio-mc ca verify --certs-dir certs
    """
    from datetime import UTC, datetime

    from istio_mc.cli import edge
    from istio_mc.gateways.castore import CaStore
    from istio_mc.ops import ca

    edge.finish(ca.verify(CaStore(certs_dir), datetime.now(UTC)))

"""Output of the address command: addresses, ports, firewall list, fixes for pending addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from istio_mc.domain import yamltext
from istio_mc.domain.gateway.changes import MEANING, Action, Change, Via
from istio_mc.domain.hint import istio_mc
from istio_mc.domain.kube.objects import ref_of
from istio_mc.present.output.envelope import Report, exit_for
from istio_mc.present.output.hints import as_printed
from istio_mc.present.output.terminal import NO_BREAK, print_words, table
from istio_mc.present.output.wrap import print_item, print_wrapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    from istio_mc.domain.problem import Problem
    from istio_mc.ops.address import AddressResult, ClusterAddress

_UNNAMED = "ADDRESS"


def report(result: AddressResult, warnings: Iterable[Problem]) -> Report:
    """What was seen and done, cluster by cluster."""
    addresses = result.addresses
    failures = addresses.failures | result.failures
    return Report(
        data={
            "dryRun": result.dry_run,
            "changed": bool(result.changes),
            "changes": [_change(change, documents=result.dry_run) for change in result.changes],
            "clusters": [_cluster(view) for view in addresses.views.values()],
        },
        render=lambda console: _render(result, console),
        errors=tuple(problem for problems in failures.values() for problem in problems),
        warnings=(*warnings, *result.warnings),
        exit=exit_for(len(failures), max(len(addresses.live.clusters), len(failures))),
    )


def question(changes: Iterable[Change]) -> str:
    """What will go, told before it goes."""
    lines = [f"{change.context}: {change} ({change.reason})" for change in changes]
    return "\n".join([*lines, "Go on?"])


def address_options(view: ClusterAddress) -> list[dict[str, str]]:
    """The three ways to give a pending gateway an address, each with the command to paste."""
    name = view.cluster.context
    return [
        {
            "via": via.value,
            "meaning": MEANING[via],
            "command": str(
                as_printed(istio_mc("address", "--set", f"{name}={_UNNAMED}", "--via", via.value))
            ),
        }
        for via in Via
    ]


def status(view: ClusterAddress) -> str:
    """In a word, how a gateway stands."""
    if view.service is None:
        return "absent"
    return "ready" if view.addresses else "pending"


def _change(change: Change, *, documents: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "cluster": change.context,
        "action": change.action.value,
        "object": str(ref_of(change.document)),
        "reason": change.reason,
    }
    if documents and change.action is not Action.DELETE:
        data["document"] = change.document
    return data


def _cluster(view: ClusterAddress) -> dict[str, Any]:
    spec = (view.service or {}).get("spec", {})
    pending = status(view) == "pending"
    return {
        "name": view.cluster.context,
        "clusterId": view.cluster.cluster_id,
        "network": view.cluster.network,
        "status": status(view),
        "gatewayAddresses": list(view.addresses),
        "service": {
            "type": spec.get("type"),
            "loadBalancer": list(view.from_load_balancer),
            "loadBalancerIP": spec.get("loadBalancerIP"),
            "externalIPs": list(view.external_ips),
        }
        if view.service
        else None,
        "remoteGateways": [
            {"cluster": one.context, "name": one.name, "addresses": list(one.addresses), "managed": one.ours}
            for one in view.remote_gateways
        ],
        "metallb": {
            "pool": view.pool["metadata"]["name"],
            "addresses": list(view.pool.get("spec", {}).get("addresses") or []),
            "announcedBy": [str(ref_of(one)) for one in view.advertisements],
        }
        if view.pool
        else None,
        "resolved": {one.host: list(one.addresses) for one in view.resolved},
        "doubts": [{"address": text, "reason": why} for text, why in view.unreachable()],
        "ports": [
            {
                "name": port.name,
                "port": port.port,
                "protocol": port.protocol,
                "nodePort": port.node_port,
                "purpose": port.purpose,
                "needed": port.needed,
            }
            for port in view.ports
        ],
        "options": address_options(view) if pending else [],
    }


def _render(result: AddressResult, console: Console) -> None:
    if result.requested:
        _render_changes(result, console)
        return
    views = result.addresses.views.values()
    for view in views:
        _render_cluster(view, console)
    _render_ports([view for view in views if view.ports], console)


def _render_changes(result: AddressResult, console: Console) -> None:
    if not (result.changes or result.failures):
        console.print("Nothing to change.")
    for change in result.changes:
        head = "would " if result.dry_run else ""
        print_item(console, f"{change.context}:", f"{head}{change} ({change.reason})", margin=0)
        if result.dry_run and change.action is not Action.DELETE:
            text = yamltext.dump(change.document)
            console.print(f"---\n{text}", markup=False, soft_wrap=True)
    shown = table("CLUSTER", "GATEWAY", "STATUS")
    for name, view in result.addresses.views.items():
        shown.add_row(name, ", ".join(view.addresses) or "-", status(view))
    print_words(console, shown)


def _render_cluster(view: ClusterAddress, console: Console) -> None:
    cluster = view.cluster
    console.print(
        Text.assemble(
            (cluster.context, "bold"), f"  {cluster.cluster_id}, {cluster.network}: ", _headline(view)
        ),
        soft_wrap=True,
    )
    for label, value in _facts(view):
        console.print(Text.assemble((f"  {label + ':':<16}", "dim"), value), soft_wrap=True)
    for text, why in view.unreachable():
        print_item(console, ("‼", "yellow"), f"{text}: {why}")
    if status(view) == "pending":
        _render_options(view, console)
    console.print()


def _render_ports(views: Sequence[ClusterAddress], console: Console) -> None:
    """Prints each port once, with its node port in every cluster that has one."""
    nodes: dict[tuple[str, ...], list[str]] = {}
    for view in views:
        for port in view.ports:
            key = (f"{port.port}/{port.protocol}", port.name, "yes" if port.needed else "no", port.purpose)
            node = [f"{view.cluster.context}{NO_BREAK}{port.node_port}"] if port.node_port else []
            nodes.setdefault(key, []).extend(node)
    if not nodes:
        return
    shown = table("PORT", "NAME", "OPEN", "FOR", "NODE PORTS")
    for row, of_node in nodes.items():
        shown.add_row(*row, ", ".join(of_node) or "-")
    print_words(console, shown)


def _headline(view: ClusterAddress) -> Text:
    if view.service is None:
        return Text("no gateway (istio-mc install makes it)", style="red")
    if not view.addresses:
        return Text("address pending", style="red")
    return Text(f"called at {', '.join(view.addresses)}", style="green")


def _facts(view: ClusterAddress) -> list[tuple[str, str]]:
    if view.service is None:
        return []
    spec = view.service["spec"]
    facts = [("Service", f"type {spec.get('type')}")]
    if spec.get("type") == "LoadBalancer":
        facts.append(("load balancer", ", ".join(view.from_load_balancer) or "pending"))
    if requested := spec.get("loadBalancerIP"):
        facts.append(("loadBalancerIP", str(requested)))
    if view.pool:
        name, ranges = view.pool["metadata"]["name"], view.pool.get("spec", {}).get("addresses") or []
        facts.append(("MetalLB pool", f"{name}: {', '.join(ranges)}"))
        facts.append(
            ("announced by", ", ".join(str(ref_of(one)) for one in view.advertisements) or "nothing")
        )
    if view.external_ips:
        facts.append(("externalIPs", ", ".join(view.external_ips)))
    facts += [
        ("istio-remote", f"{', '.join(one.addresses)} (Gateway {one.name} in {one.context})")
        for one in view.remote_gateways
    ]
    if view.remote_gateways and view.lacking:
        facts.append(("lacking in", ", ".join(view.lacking)))
    facts += [
        ("resolves to", f"{', '.join(one.addresses)} ({one.host}, as this machine sees it)")
        for one in view.resolved
        if one.addresses
    ]
    return facts


def _render_options(view: ClusterAddress, console: Console) -> None:
    text = (
        f"Three options to assign one. {_UNNAMED} is the load balancer or NAT that forwards to the node "
        "ports; its firewall must let the other clusters reach the ports with OPEN yes below."
    )
    print_wrapped(console, text.split(), indent=2, first=Text(" " * 2))
    for way in address_options(view):
        console.print(Text.assemble((f"  {way['via']}", "bold"), ":"))
        print_wrapped(console, way["meaning"].split(), indent=4, first=Text(" " * 4))
        console.print(f"    {way['command']}", markup=False, soft_wrap=True)

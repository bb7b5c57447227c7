"""What each check sees, why it usually fails, and what mends that: for people who read, not for the runner.

A Problem says better, for it knows the cluster; this is what holds in general.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from istio_mc.domain.hint import istio_mc, kubectl

if TYPE_CHECKING:
    from collections.abc import Mapping


class Explained(NamedTuple):
    """One check, in words.

    Attributes:
        sees: What it looks at.
        cause: The usual cause of its fault.
        mend: What mends it, a command in backquotes where there is one.
    """

    sees: str
    cause: str
    mend: str


_INSTALL = f"`{istio_mc('install')}`"
_LINK = f"`{istio_mc('link')}`"
_PRUNE = f"`{istio_mc('link', '--prune')}`"
_ADDRESS = f"`{istio_mc('address')}`"
_MAY_FORWARD = kubectl(
    "CONTEXT", "auth", "can-i", "get", "pods", "--subresource=portforward", "-n", "istio-system"
)
_ISTIOD = kubectl("CONTEXT", "-n", "istio-system", "rollout", "restart", "deployment", "istiod")
_RESTART = f"restart istiod: `{_ISTIOD}`"

_ACCESS = {
    "access.reachable": Explained(
        "the answers of the API server to this kubeconfig's user",
        "the VPN is down, the credential has expired, or the user may not read `istio-system`",
        f"`{istio_mc('contexts')}` tells the fault of each cluster",
    ),
    "access.observed": Explained(
        "whether all that the other checks look at came in time",
        "a slow cluster, or a right that this user lacks",
        f"ask again; `{istio_mc('verify', '--verbose')}` tells every call and how long it took",
    ),
    "access.namespace": Explained(
        "the deletionTimestamp and the conditions of the namespace `istio-system`",
        "someone deleted the namespace; a finalizer or an API that does not respond keeps it",
        f"`{kubectl('CONTEXT', 'get', 'namespace', 'istio-system', '-o', 'yaml')}` shows what it waits for; "
        f"then {_INSTALL}",
    ),
}
_NAMES = {
    "names.identity": Explained(
        "the cluster IDs and networks of labels, istiods, gateways and mesh.yaml",
        "a cluster was copied from another, or mesh.yaml was changed after the install",
        "set what lives in mesh.yaml; a cluster that shares an ID leaves, and joins anew",
    ),
    "names.cluster-id": Explained(
        "the variable `CLUSTER_ID` of istiod's Deployment",
        "somebody installed Istio by hand with another `clusterName`",
        _INSTALL,
    ),
    "names.network": Explained(
        "the label `topology.istio.io/network` of the namespace `istio-system`",
        "the namespace was made anew, or a tool that owns it took the label away",
        _INSTALL,
    ),
    "names.this-machine": Explained(
        "what those names resolve to here, and the name of this machine",
        "a tunnel or an entry in /etc/hosts leads the name to 127.0.0.1",
        f"`{istio_mc('link', '--api-server', 'CONTEXT=https://ADDRESS')}`, or another gateway address",
    ),
}
_TRUST = {
    "trust.clock": Explained(
        "the time that the API server puts on its answers, beside those of the others and of this machine",
        "the nodes follow no time server",
        "set the clocks of the nodes right, and have them follow a time server",
    ),
    "trust.clock-here": Explained(
        "the same times",
        "this machine follows no time server",
        "set the clock of this machine right",
    ),
    "trust.cacerts": Explained(
        "the Secret `cacerts`: chain, key, and what the certificates allow",
        "the Secret was edited, or was put together of files of two CAs",
        _INSTALL,
    ),
    "trust.root-valid": Explained(
        "the dates of the root in each `cacerts`",
        "the root has expired, or a clock is wrong",
        "make a new root in another folder, and install it in every cluster with `--replace-ca`",
    ),
    "trust.valid": Explained(
        "the dates of the intermediate CA in `cacerts`",
        "the intermediate has expired: nobody issued a new one",
        _INSTALL,
    ),
    "trust.root-lasts": Explained(
        "the same dates, and limits of names and uses",
        "the root ends soon",
        "plan a new root while the old one is valid",
    ),
    "trust.lasts": Explained(
        "the same of the intermediate CA",
        "the intermediate ends soon",
        _INSTALL,
    ),
    "trust.one-root": Explained(
        "the roots that each cluster signs under, and those it takes",
        "a cluster was installed with a root of its own: the guide's scripts make a new one in each run",
        "install in that cluster with the folder of the mesh's CA, and `--replace-ca`",
    ),
    "trust.domains": Explained(
        "`trustDomain` and `trustDomainAliases` of each cluster's MeshConfig",
        "mesh.yaml gives clusters trust domains of their own",
        "set one `values.meshConfig.trustDomain`, or list the others' under `trustDomainAliases`",
    ),
    "trust.istiod": Explained(
        "the certificate that each istiod serves, through a port-forward",
        "`cacerts` was replaced by another root, and istiod still runs with the old one",
        _RESTART,
    ),
    "trust.namespaces": Explained(
        "the ConfigMap `istio-ca-root-cert` (or what `global.trustBundleName` names) of every namespace",
        "istiod was down, or may not write ConfigMaps, when the root changed",
        _RESTART,
    ),
    "trust.proxies": Explained(
        "the certificates and roots that gateways and the oldest sidecars hold, from their Envoys",
        "pods have run since before the root changed",
        "restart the workloads that are named",
    ),
    "trust.workloads": Explained(
        "who issued the certificates of the same proxies",
        "`cacerts` changed, and their certificates have not been renewed yet",
        "they are renewed within a day by themselves, or with a restart",
    ),
    "trust.workloads-end": Explained(
        "when the certificates of the same proxies end, and when the CAs in their chains do",
        "the CA ends soon, or `SECRET_TTL` is longer than what is left of it",
        "renew the CA in time, or shorten `SECRET_TTL`",
    ),
}
_CONTROL_PLANE = {
    "control-plane.istiod": Explained(
        "istiod's Deployment: replicas wanted, updated and available",
        "it was scaled to zero, its image cannot be pulled, or it does not start with this `cacerts`",
        f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istiod')}`",
    ),
    "control-plane.gateway": Explained(
        "the gateway's Deployment likewise",
        "it was scaled to zero, or it waits for istiod",
        f"`{kubectl('CONTEXT', '-n', 'istio-system', 'describe', 'deployment', 'istio-ingressgateway')}`",
    ),
    "control-plane.network-policies": Explained(
        "the NetworkPolicies of `istio-system`, and the ports by which istiod and the gateway are called",
        "a gateway's chart with `global.networkPolicy.enabled`, or a policy that denies by default",
        "add a rule for the ports that are named",
    ),
    "control-plane.webhooks": Explained(
        "the caBundle of the webhook configurations that call istiod, beside the certificate it serves",
        "another tool wrote the configuration, or its label `istio.io/rev` is gone: istiod leaves it alone",
        "set the label again; istiod then writes the caBundle by itself",
    ),
}
_GATEWAY = {
    "gateway.service": Explained(
        "the Service `istio-ingressgateway`",
        "it was deleted, or Istio was installed without the gateway",
        _INSTALL,
    ),
    "gateway.address": Explained(
        "the Service's LoadBalancer status and `externalIPs`, and Gateways of class `istio-remote`",
        "the cluster has no load balancer controller, or its quota is used up",
        _ADDRESS,
    ),
    "gateway.ports": Explained(
        "the ports of that Service",
        "somebody took the Service over for ingress alone",
        _INSTALL,
    ),
    "gateway.network": Explained(
        "the network in the Service's label, in that of its pods, and in the gateway's network view",
        "the gateway was installed by hand: without the view it also forwards to the other gateways",
        _INSTALL,
    ),
    "gateway.exposed": Explained(
        "the Gateway `cross-network-gateway`",
        "it was deleted, or its selector or hosts were changed",
        _INSTALL,
    ),
}
_LINK_CHECKS = {
    "link.asked": Explained(
        "`/debug/clusterz` of every istiod, through a port-forward",
        "no istiod runs, or this user may not forward ports",
        f"`{_MAY_FORWARD}`",
    ),
    "link.reader-account": Explained(
        "`global.readerServiceAccount` and `global.enableReaderRBAC` of the values, and the ServiceAccounts",
        "the values leave the account to somebody else, who has not made it",
        "make the account and its rights, or remove the values",
    ),
    "link.members": Explained(
        "the Secrets with label `istio/multiCluster`",
        "a cluster left the mesh, and its remote secret stayed",
        _PRUNE,
    ),
    "link.secret": Explained(
        "the same Secrets: a key for each other cluster ID",
        "a cluster joined when this one did not answer, or the Secret was deleted",
        _LINK,
    ),
    "link.named": Explained(
        "the name of that Secret; istiod accepts any",
        "it was written with other means than istioctl and istio-mc",
        _PRUNE,
    ),
    "link.usable": Explained(
        "the kubeconfig in that Secret, by the rules of istiod",
        "it names a program (exec) or a file (tokenFile, client-key), or kubectl would refuse it too",
        _LINK,
    ),
    "link.unique": Explained(
        "the cluster IDs that those Secrets claim",
        "the Secret was written twice, under two names",
        _PRUNE,
    ),
    "link.address": Explained(
        "the address in that kubeconfig, called from here; and whether istiod has synced the cluster",
        "it is 127.0.0.1, a bastion, or an address that the other network does not reach",
        f"`{istio_mc('link', '--api-server', 'CONTEXT=https://ADDRESS')}`",
    ),
    "link.address-from-here": Explained(
        "the same call, where istiod has synced the cluster",
        "the address is one of the clouds' own networks: this machine cannot tell",
        "look at istiod's log, or run verify from a place that reaches it",
    ),
    "link.trusted": Explained(
        "the certificate of the API server, beside the CA in that kubeconfig",
        "the cluster was made anew, its certificate expired, or a proxy in between ends TLS",
        f"{_LINK}; where that changes nothing, with `--api-server-ca` or `--api-server-name`",
    ),
    "link.api-server": Explained(
        "what comes back when the token's rights are asked for at that address",
        "the address has a path that leads nowhere, or a proxy or portal answers in the API server's stead",
        f"`{istio_mc('link')}`; where the kubeconfig has that address too, `--api-server CONTEXT=https://ADDRESS`",
    ),
    "link.token": Explained(
        "whether the API server takes the token",
        "the token's Secret or ServiceAccount was deleted, or a proxy with users of its own is in between",
        f"{_LINK}; where a proxy is in between, with `--api-server`",
    ),
    "link.rights": Explained(
        "whether the token may read what istiod reads (SelfSubjectAccessReview)",
        "the reader's ClusterRole or its binding was deleted",
        _INSTALL,
    ),
    "link.synced": Explained(
        "what every istiod says of every other cluster",
        "istiod does not reach the API server, or has not taken a new Secret yet",
        "the other checks of the link tell which; else istiod's log does",
    ),
}
_DATA_PATH = {
    "data-path.resolves": Explained(
        "the gateway's address, looked up from here",
        "the provider's DNS name is new, or was given up",
        "wait for the name, or give another address: " + _ADDRESS,
    ),
    "data-path.reachable": Explained(
        "a TCP connection to 15443",
        "a firewall or security group; a NAT that leads elsewhere",
        f"let 15443 through; `{istio_mc('address')}` lists the ports",
    ),
    "data-path.ready": Explained(
        "`/healthz/ready` on 15021",
        "the gateway has not got its configuration from istiod",
        "look at the gateway's pods and their log",
    ),
    "data-path.handshake": Explained(
        "a TLS handshake through the gateway to a service with a sidecar; no key is needed for it",
        "no Gateway with AUTO_PASSTHROUGH, another root, or an address that leads to another cluster",
        _INSTALL,
    ),
    "data-path.accepted": Explained(
        "a call with a certificate of the mesh's own CA, made for minutes and gone afterwards",
        "the workload trusts another root",
        "what the checks of trust say",
    ),
    "data-path.probe": Explained(
        "a pod that is run in a namespace of its own, and removed afterwards",
        "injection does not work, or the image cannot be pulled",
        f"`{istio_mc('verify', '--deep', '--probe-image', 'IMAGE')}`",
    ),
    "data-path.deep": Explained(
        "a call of that pod to a service of each other cluster",
        "a firewall between the clouds: what is reached from here need not be reached from there",
        "let 15443 through between the clusters",
    ),
}
_AROUND = {
    "versions.apart": Explained(
        "the tags of the images that istiods run",
        "one cluster was upgraded, and the others were not",
        _INSTALL,
    ),
    "versions.kubernetes": Explained(
        "the API server's version, and the table of Istio's releases",
        "the cluster was upgraded before Istio, or the other way round",
        f"set `istio.version` in mesh.yaml to one that fits every cluster: `{istio_mc('tools', 'list')}`",
    ),
    "versions.end-of-life": Explained(
        "the same table, and the day",
        "time went on",
        f"set `istio.version` in mesh.yaml to a supported one: `{istio_mc('tools', 'list')}` shows them",
    ),
    "hazards.defects": Explained(
        "the versions of the istiods, and the defects that are known of them",
        "a patch that has a defect which a later one repairs",
        "set `istio.version` in mesh.yaml to the patch in `expected`, and install",
    ),
    "hazards.security": Explained(
        "the same versions, and the least patch of each minor with the fixes that a source names",
        "upstream published security fixes after this patch",
        "set `istio.version` to a newer patch, and install",
    ),
    "hazards.hub": Explained(
        "the images of the pods in `istio-system`, and the hub that sidecars are injected from",
        "Istio was installed from `gcr.io/istio-release` or `registry.istio.io`",
        "set `istio.hub: docker.io/istio` in mesh.yaml, install, and restart the workloads",
    ),
    "hazards.gateway-api-new": Explained(
        "bundle versions of the Gateway API's CRDs, istiod's version and `PILOT_ENABLE_ALPHA_GATEWAY_API`",
        "newer CRDs were installed beside an istiod that reads versions of them which they no longer serve",
        "set `istio.version` to the patch in `expected`",
    ),
    "hazards.gateway-api-old": Explained(
        "the same, and the least bundle version that istiod reads of each CRD",
        "Istio was upgraded, and the CRDs were not",
        "have them updated by who installed them",
    ),
    "hazards.remote-secret-programs": Explained(
        "the kubeconfigs in remote secrets, which it reads as data and never as a client would",
        "somebody wrote a remote secret with a credential plugin (`exec`) in it",
        f"{_LINK}; until then no `analyze` of istioctl below 1.30.5 or of 1.31.0",
    ),
    "hazards.istioctl": Explained(
        "the version of istioctl that the mesh is installed with",
        "`analyze` of that version runs programs which remote secrets of the cluster name",
        "call its `analyze` with `--remote-contexts`, or that of a newer istioctl",
    ),
    "nodes.architecture": Explained(
        "the architectures of the nodes that have no taint against Istio's pods",
        "a node pool of another architecture",
        "taint those nodes",
    ),
    "storage.default": Explained(
        "the StorageClasses",
        "none is marked as the default",
        "mark one",
    ),
    "metrics.available": Explained(
        "the APIService of the Metrics API",
        "Metrics Server is not installed, or does not trust the kubelets",
        "install Metrics Server",
    ),
    "cni.cilium": Explained(
        "the ConfigMap `cilium-config`",
        "Cilium's defaults stand in the way of sidecars",
        f"`{istio_mc('cilium', 'fix')}`",
    ),
    "cni.calico": Explained(
        "the FelixConfiguration `default` and the environment of DaemonSet `calico-node`",
        "Calico's eBPF mode balances connections when a pod connects, past its sidecar",
        "set `bpfConnectTimeLoadBalancing: Disabled` in the FelixConfiguration",
    ),
    "services.agree": Explained(
        "the Services of equal name and namespace that have endpoints in several clusters",
        "two teams use one name for two things",
        "rename one, or keep it in its cluster",
    ),
    "drift.none": Explained(
        "the plan that an install would make",
        "somebody changed what the install wrote, or mesh.yaml",
        f"`{istio_mc('install', '--dry-run')}` shows it; `{istio_mc('install')}` carries it out",
    ),
    "rights.enough": Explained(
        "whether this user may do each thing that an install does",
        "the kubeconfig is of a user with few rights",
        "use one with the rights of cluster-admin for the install",
    ),
    "ownership.ours": Explained(
        "istiods of any namespace, and who made them",
        "Helm or the Sail operator governs Istio here",
        "set another `istio.revision`, or leave the cluster to its manager",
    ),
    "ownership.crds": Explained(
        "annotations and labels of Istio's CRDs",
        "Helm installed them, perhaps of another version; or a newer istioctl did",
        "see that Helm does not set them back; set `istio.version` to the newer one",
    ),
    "ownership.gateway-api": Explained(
        "the versions that the Gateway API's CRDs serve",
        "they are of before v1.0.0; istio-mc leaves CRDs that are there as they are",
        "have them brought up to date by who installed them",
    ),
}

EXPLAINED: Mapping[str, Explained] = {
    **_ACCESS,
    **_NAMES,
    **_TRUST,
    **_CONTROL_PLANE,
    **_GATEWAY,
    **_LINK_CHECKS,
    **_DATA_PATH,
    **_AROUND,
}
"""Every check, by its id."""

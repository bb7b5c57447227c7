"""What went wrong, as a value: carried to the edge, and turned into text, JSON and an exit code there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

    from istio_mc.domain.hint import Hint

_PAGE = "troubleshooting.md"


def section_name(reference: str) -> str:
    """The name under which `istio-mc explain` finds a section that is given as `page.md#anchor`."""
    page, _, anchor = reference.partition("#")
    if not anchor:
        return page.removesuffix(".md")
    return anchor if page == _PAGE else reference


class Code(StrEnum):
    """The kind of a fault: stable, part of the JSON contract.

    Beside its value stands the section that explains it: of troubleshooting.md, or `page.md#section`; without
    one it is the section of the code's own name. `make docs` makes docs/error-codes.md from these.

    Attributes:
        docs: Page and section that explain it, such as `troubleshooting.md#forbidden`.
    """

    docs: str

    def __new__(cls, value: str, section: str = "") -> Self:
        """A code and its section."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.docs = section if ".md" in section else f"{_PAGE}#{section or value}"
        return code

    # Access to the clusters
    CLUSTER_UNREACHABLE = "cluster-unreachable"
    PROXY_UNUSABLE = "proxy-unusable"
    NO_ANSWER_IN_TIME = "no-answer-in-time"
    TOO_FEW_OPEN_FILES = "too-few-open-files"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    QUOTA_EXCEEDED = "quota-exceeded"
    ADMISSION_DENIED = "admission-denied"
    POD_SECURITY = "pod-security"
    NAMESPACE_TERMINATING = "namespace-terminating"
    OBJECT_TERMINATING = "object-terminating", "namespace-terminating"
    WEBHOOK_FAILED = "webhook-failed"
    RIGHTS_MISSING = "rights-missing", "rights-enough"
    OBJECT_INVALID = "object-invalid"
    CONFLICT = "conflict"
    ALREADY_EXISTS = "already-exists", "conflict"
    NOT_FOUND = "not-found"
    TOO_MANY_REQUESTS = "too-many-requests"
    API_UNAVAILABLE = "api-unavailable"
    API_ERROR = "api-error"
    API_REFUSED = "api-refused"
    STREAM_FAILED = "stream-failed"
    NO_ISTIOD = "no-istiod", "stream-failed"
    MALFORMED_ANSWER = "malformed-answer"
    CLUSTER_INCOMPLETE = "cluster-incomplete", "kubeconfig"
    CLUSTER_NAMED_TWICE = "cluster-named-twice", "kubeconfig"
    CLUSTER_UNDEFINED = "cluster-undefined", "kubeconfig"
    CLUSTER_UNUSABLE = "cluster-unusable", "kubeconfig"
    CONTEXT_INCOMPLETE = "context-incomplete", "kubeconfig"
    CONTEXT_NAMED_TWICE = "context-named-twice", "kubeconfig"
    CONTEXT_SKIPPED = "context-skipped", "kubeconfig"
    CONTEXT_UNKNOWN = "context-unknown", "kubeconfig"
    CURRENT_CONTEXT_UNKNOWN = "current-context-unknown", "kubeconfig"
    KUBECONFIG_KEY_REPEATED = "kubeconfig-key-repeated", "kubeconfig"
    KUBECONFIG_KEY_UNKNOWN = "kubeconfig-key-unknown", "kubeconfig"
    KUBECONFIG_MALFORMED = "kubeconfig-malformed", "kubeconfig"
    KUBECONFIG_MISSING = "kubeconfig-missing", "kubeconfig"
    KUBECONFIG_NAME_MISSING = "kubeconfig-name-missing", "kubeconfig"
    KUBECONFIG_NAME_REPEATED = "kubeconfig-name-repeated", "kubeconfig"
    KUBECONFIG_UNREADABLE = "kubeconfig-unreadable", "kubeconfig"
    KUBECONFIG_UNUSABLE = "kubeconfig-unusable", "kubeconfig"
    USER_UNDEFINED = "user-undefined", "kubeconfig"
    USER_UNUSABLE = "user-unusable", "kubeconfig"
    AUTH_PROVIDER_UNSUPPORTED = "auth-provider-unsupported", "credential-plugins"
    CREDENTIAL_PENDING = "credential-pending", "credential-plugins"
    CREDENTIAL_PLUGIN_FAILED = "credential-plugin-failed", "credential-plugins"
    CREDENTIAL_PLUGIN_MISSING = "credential-plugin-missing", "credential-plugins"
    CREDENTIAL_PLUGIN_TIMEOUT = "credential-plugin-timeout", "credential-plugins"
    CREDENTIAL_PLUGIN_UNUSABLE = "credential-plugin-unusable", "credential-plugins"

    # Names and members
    MEMBER_OF_ANOTHER_MESH = "member-of-another-mesh"
    CLUSTER_ID_DIFFERS = "cluster-id-differs"
    MESH_LOCKED = "mesh-locked"
    LEASE_LOST = "lease-lost", "mesh-locked"
    NETWORK_LABEL_MISSING = "network-label-missing"
    NETWORK_LABEL_DIFFERS = "network-label-differs"
    MESH_LABEL_DIFFERS = "mesh-label-differs", "network-label-differs"
    CLUSTER_ID_INVALID = "cluster-id-invalid", "settings"
    NETWORK_INVALID = "network-invalid", "settings"
    SETTINGS_INVALID = "settings-invalid", "settings"
    SETTINGS_KEY_UNKNOWN = "settings-key-unknown", "settings"
    SETTINGS_MISSING = "settings-missing", "settings"
    SETTINGS_UNREADABLE = "settings-unreadable", "settings"
    YAML_INVALID = "yaml-invalid", "settings"
    YAML_KEY_REPEATED = "yaml-key-repeated", "settings"
    YAML_SECOND_DOCUMENT = "yaml-second-document", "settings"

    # Before an install
    VALUES_LOST = "values-lost"
    ISTIO_NONE_FITS = "istio-none-fits", "istio-version"
    ISTIO_TAG = "istio-tag", "istio-version"
    ISTIO_VERSION_UNKNOWN = "istio-version-unknown", "istio-version"
    ISTIO_VERSIONS_DIFFER = "istio-versions-differ", "istio-version"
    KUBERNETES_TOO_NEW = "kubernetes-too-new", "versions-kubernetes"
    KUBERNETES_TOO_OLD = "kubernetes-too-old", "versions-kubernetes"
    KUBERNETES_UNKNOWN = "kubernetes-unknown", "versions-kubernetes"
    ISTIO_END_OF_LIFE = "istio-end-of-life", "versions-end-of-life"
    ISTIO_END_OF_LIFE_EXPECTED = "istio-end-of-life-expected", "versions-end-of-life"
    ISTIO_UNKNOWN = "istio-unknown", "versions-end-of-life"
    RELEASES_OLD = "releases-old", "versions-end-of-life"
    KUBECTL_SKEW = "kubectl-skew", "versions"
    ISTIO_DEFECTS = "istio-defects", "hazards-defects"
    ISTIO_SECURITY = "istio-security", "hazards-security"
    HUB_SWITCHED_OFF = "hub-switched-off", "hazards-hub"
    GATEWAY_API_UNFIT = "gateway-api-unfit", "hazards-gateway-api"
    ISTIOCTL_ANALYZE = "istioctl-analyze", "hazards-istioctl"
    REMOTE_SECRET_PROGRAMS = "remote-secret-programs", "hazards-istioctl"
    ARCHITECTURE = "architecture", "nodes-architecture"
    NO_DEFAULT_STORAGE_CLASS = "no-default-storage-class", "storage-default"
    NO_METRICS = "no-metrics", "metrics-available"
    CILIUM_SETTINGS = "cilium-settings", "cni-cilium"
    ADDON_NOT_READY = "addon-not-ready", "addons.md#addon-not-ready"
    ADDON_IN_USE = "addon-in-use", "addons.md#addon-in-use"
    ADDON_NOT_GONE = "addon-not-gone", "addons.md#addon-not-gone"
    STORAGE_CLASS_UNKNOWN = "storage-class-unknown", "addons.md#default-storage"
    CALICO_SETTINGS = "calico-settings", "cni-calico"
    MANAGED_BY_OTHERS = "managed-by-others", "ownership-ours"
    CRDS_NEWER = "crds-newer", "ownership-crds"
    CRDS_OF_OTHERS = "crds-of-others", "ownership-crds"
    GATEWAY_API_OLD = "gateway-api-old", "ownership-gateway-api"

    # Programs and downloads
    ISTIOCTL_MISSING = "istioctl-missing"
    ISTIOCTL_UNUSABLE = "istioctl-unusable", "istioctl-missing"
    ISTIOCTL_VERSION = "istioctl-version"
    ISTIOCTL_FAILED = "istioctl-failed"
    PROCESS_CANCELLED = "process-cancelled", "istioctl-failed"
    PROCESS_TIMEOUT = "process-timeout", "istioctl-failed"
    PROGRAM_MISSING = "program-missing", "istioctl-failed"
    PROGRAM_NOT_STARTED = "program-not-started", "istioctl-failed"
    DOWNLOAD_FAILED = "download-failed"
    MANIFEST_UNREADABLE = "manifest-unreadable", "download-failed"
    DOWNLOAD_UNTRUSTED = "download-untrusted"
    CHECKSUM_MISMATCH = "checksum-mismatch", "checksum"
    CHECKSUM_MISSING = "checksum-missing", "checksum"
    DIGEST_CHANGED = "digest-changed", "checksum"
    MIRROR_UNENCRYPTED = "mirror-unencrypted", "checksum"
    ARCHIVE_UNREADABLE = "archive-unreadable"
    ARCHIVE_MEMBER_MISSING = "archive-member-missing", "archive-unreadable"
    ARCHIVE_UNSAFE = "archive-unsafe", "archive-unreadable"
    WRONG_PLATFORM = "wrong-platform", "archive-unreadable"
    TOOL_NOT_STARTED = "tool-not-started"
    TOOL_VERSION_MISMATCH = "tool-version-mismatch", "tool-not-started"
    OFFLINE_MISSING = "offline-missing", "offline"

    # The CA
    CACERTS_CRL = "cacerts-crl", "cacerts"
    CACERTS_MADE_BY_OTHERS = "cacerts-made-by-others", "cacerts"
    CACERTS_MISSING = "cacerts-missing", "cacerts"
    CACERTS_NOT_BASE64 = "cacerts-not-base64", "cacerts"
    CACERTS_PARTIAL = "cacerts-partial", "cacerts"
    CHAIN_WITHOUT_CA = "chain-without-ca", "cacerts"
    CA_EXPIRED = "ca-expired"
    CLOCK_SKEW = "clock-skew"
    ROOTS_DIFFER = "roots-differ"
    ISTIOD_SIGNS_WITH_ANOTHER_CA = "istiod-signs-with-another-ca"
    ISTIOD_CERTIFICATE_EXPIRED = "istiod-certificate-expired", "istiod-signs-with-another-ca"
    NAMESPACE_ROOTS_DIFFER = "namespace-roots-differ"
    NAMESPACE_ROOTS_MISSING = "namespace-roots-missing", "namespace-roots-differ"
    PROXY_TRUSTS_OLD_ROOT = "proxy-trusts-old-root"
    WORKLOAD_CERTIFICATE_OLDER = "workload-certificate-older", "proxy-trusts-old-root"
    WORKLOAD_OUTLIVES_CA = "workload-outlives-ca"
    WEBHOOK_CA_BUNDLE_STALE = "webhook-ca-bundle-stale"
    ROOT_NOT_AT_HAND = "root-not-at-hand"
    ROOT_IS_ANOTHER = "root-is-another"
    CA_CANNOT_SIGN = "ca-cannot-sign", "ca-folder"
    CA_CERT_LOST = "ca-cert-lost", "ca-folder"
    CA_EXPIRES_SOON = "ca-expires-soon", "ca-folder"
    CA_EXTENDED_KEY_USAGE = "ca-extended-key-usage", "ca-folder"
    CA_EXTENSION = "ca-extension", "ca-folder"
    CA_FLAG_DIFFERS = "ca-flag-differs", "ca-folder"
    CA_FOLDER_EXPOSED = "ca-folder-exposed", "ca-folder"
    CA_ISSUER_EXISTS = "ca-issuer-exists", "ca-folder"
    CA_ISSUER_PARTIAL = "ca-issuer-partial", "ca-folder"
    CA_KEY_EXPOSED = "ca-key-exposed", "ca-folder"
    CA_KEY_ID = "ca-key-id", "ca-folder"
    CA_KEY_LOST = "ca-key-lost", "ca-folder"
    CA_NAME = "ca-name", "ca-folder"
    CA_NAME_CONSTRAINTS = "ca-name-constraints", "ca-folder"
    CA_NO_KEY = "ca-no-key", "ca-folder"
    CA_NO_ROOT = "ca-no-root", "ca-folder"
    CA_NO_SIGNER = "ca-no-signer", "ca-folder"
    CA_NOT_A_CA = "ca-not-a-ca", "ca-folder"
    CA_NOT_YET_VALID = "ca-not-yet-valid", "ca-folder"
    CA_OTHER_ROOT = "ca-other-root", "ca-folder"
    CA_OWN = "ca-own", "ca-folder"
    CA_PARTIAL = "ca-partial", "ca-folder"
    CA_PATH_LENGTH = "ca-path-length", "ca-folder"
    CA_POLICIES = "ca-policies", "ca-folder"
    CA_ROOT_EXISTS = "ca-root-exists", "ca-folder"
    CA_ROOT_LOST = "ca-root-lost", "ca-folder"
    CA_SHORT_KEY = "ca-short-key", "ca-folder"
    CA_WEAK_KEY = "ca-weak-key", "ca-folder"
    CA_WEAK_SIGNATURE = "ca-weak-signature", "ca-folder"
    CERTIFICATE_NOT_ALONE = "certificate-not-alone", "ca-folder"
    CERTIFICATE_UNREADABLE = "certificate-unreadable", "ca-folder"
    CHAIN_BROKEN = "chain-broken", "ca-folder"
    CLUSTER_ID = "cluster-id", "ca-folder"
    KEY_ENCRYPTED = "key-encrypted", "ca-folder"
    KEY_MISMATCH = "key-mismatch", "ca-folder"
    KEY_SIZE = "key-size", "ca-folder"
    KEY_TYPE = "key-type", "ca-folder"
    KEY_UNREADABLE = "key-unreadable", "ca-folder"
    KEY_UNSUPPORTED = "key-unsupported", "ca-folder"
    PEM_MALFORMED = "pem-malformed", "ca-folder"
    PEM_REWRITTEN = "pem-rewritten", "ca-folder"
    ROOT_NOT_SELF_SIGNED = "root-not-self-signed", "ca-folder"
    VALIDITY = "validity", "ca-folder"

    # Control plane and links
    NOT_READY = "not-ready"
    POD_CRASHING = "pod-crashing"
    IMAGE_NOT_PULLED = "image-not-pulled"
    CONTAINER_NOT_CREATED = "container-not-created"
    POD_UNSCHEDULABLE = "pod-unschedulable"
    VOLUME_NOT_MOUNTED = "volume-not-mounted"
    POD_FAILED = "pod-failed"
    POD_NOT_READY = "pod-not-ready"
    PORTS_CLOSED = "ports-closed"
    WORKLOAD_PORTS_CLOSED = "workload-ports-closed"
    NETWORK_POLICIES_NOT_ENFORCED = "network-policies-not-enforced"
    GATEWAY_SERVICE_MISSING = "gateway-service-missing"
    HOST_NAME_OUTDATED = "host-name-outdated", "troubleshooting.md#host-name-outdated"
    GATEWAY_PORTS_MISSING = "gateway-ports-missing"
    GATEWAY_NETWORK_DIFFERS = "gateway-network-differs"
    NOT_EXPOSED = "not-exposed"
    REMOTE_SECRET_MISSING = "remote-secret-missing"
    REMOTE_SECRET_MISNAMED = "remote-secret-misnamed"
    REMOTE_SECRET_UNUSABLE = "remote-secret-unusable"
    CLUSTER_ID_CLAIMED_TWICE = "cluster-id-claimed-twice"
    REMOTE_SECRET_OF_ITSELF = "remote-secret-of-itself", "troubleshooting.md#remote-secret-of-itself"
    REMOTE_SECRET_OF_NON_MEMBER = "remote-secret-of-non-member"
    API_SERVER_NOT_REACHED = "api-server-not-reached"
    API_SERVER_NOT_REACHED_FROM_HERE = "api-server-not-reached-from-here"
    API_SERVER_NOT_TRUSTED = "api-server-not-trusted"
    NOT_AN_API_SERVER = "not-an-api-server"
    READER_TOKEN_REFUSED = "reader-token-refused"
    READER_RIGHTS_MISSING = "reader-rights-missing"
    SERVICES_DISAGREE = "services-disagree"
    SERVICES_NOT_REACHED = "services-not-reached"
    DRIFT = "drift"
    ISTIO_VERSIONS_APART = "istio-versions-apart"
    API_SERVER_FOR_US_ONLY = "api-server-for-us-only"
    GATEWAY_ADDRESS_FOR_US_ONLY = "gateway-address-for-us-only"
    NAME_OF_THIS_MACHINE = "name-of-this-machine", "names-this-machine"
    TRUST_DOMAINS_DIFFER = "trust-domains-differ"
    NOT_SYNCED = "not-synced"
    DISCOVERY_GATEWAY = "discovery-gateway"
    DISCOVERY_ENDPOINTS = "discovery-endpoints"
    READER_ACCOUNT_ELSEWHERE = "reader-account-elsewhere", "reader-account"
    READER_ACCOUNT_MISSING = "reader-account-missing", "reader-account"
    NO_READER_TOKEN = "no-reader-token"

    # The data path
    GATEWAY_UNRESOLVED = "gateway-unresolved"
    GATEWAY_TIMED_OUT = "gateway-timed-out"
    GATEWAY_REFUSED = "gateway-refused", "gateway-timed-out"
    GATEWAY_UNREACHABLE = "gateway-unreachable", "gateway-timed-out"
    GATEWAY_NOT_READY = "gateway-not-ready"
    NOT_PASSED_THROUGH = "not-passed-through"
    GATEWAY_SILENT = "gateway-silent", "not-passed-through"
    NOT_A_GATEWAY = "not-a-gateway", "not-passed-through"
    OTHER_CLUSTER_ANSWERED = "other-cluster-answered"
    FOREIGN_ROOT = "foreign-root"
    CERTIFICATE_NOT_VALID = "certificate-not-valid", "foreign-root"
    CALL_REFUSED = "call-refused"
    PROBE_NOT_RUNNING = "probe-not-running"
    NO_ANSWER_ACROSS = "no-answer-across"
    PROBE_LEFT = "probe-left"

    # A service's path, in trace.md
    SERVICE_MISSING = "service-missing", "trace.md#service"
    SERVICE_PORTS_DIFFER = "service-ports-differ", "trace.md#service"
    NAMESPACE_NOT_INJECTED = "namespace-not-injected", "trace.md#injection"
    CLIENT_WITHOUT_SIDECAR = "client-without-sidecar", "trace.md#injection"
    SIDECAR_BYPASSED = "sidecar-bypassed", "trace.md#injection"
    SERVICE_NODE_LOCAL = "service-node-local", "trace.md#sharing"
    SERVICE_NOT_EXPORTED = "service-not-exported", "trace.md#export"
    WORKLOAD_ENTRY_SELECTED = "workload-entry-selected", "trace.md#endpoints"
    ENDPOINTS_ADDED = "endpoints-added", "trace.md#endpoints"
    FILTER_NOT_EVALUATED = "filter-not-evaluated", "trace.md#proxy"
    SERVICE_HEADLESS = "service-headless", "trace.md#sharing"
    NAMESPACE_NOT_SELECTED = "namespace-not-selected", "trace.md#selectors"
    NO_READY_ENDPOINT = "no-ready-endpoint", "trace.md#endpoints"
    TARGET_PORT_MISSING = "target-port-missing", "trace.md#endpoints"
    PODS_OF_OTHER_NETWORK = "pods-of-other-network", "trace.md#endpoints"
    ENDPOINTS_WITHOUT_SIDECAR = "endpoints-without-sidecar", "trace.md#endpoints"
    SERVICE_TAKEN_FOR_GATEWAY = "service-taken-for-gateway", "trace.md#discovery"
    SIDECAR_EGRESS = "sidecar-egress", "trace.md#sidecar"
    SERVICE_ENTRY_SAME_HOST = "service-entry-same-host", "trace.md#service-entry"
    ROUTED_ELSEWHERE = "routed-elsewhere", "trace.md#virtual-service"
    SUBSET_EMPTY = "subset-empty", "trace.md#virtual-service"
    ROUTE_DELAYS = "route-delays", "trace.md#virtual-service"
    DESTINATION_RULE_TLS = "destination-rule-tls", "trace.md#destination-rule"
    DESTINATION_RULE_CONNECTION = "destination-rule-connection", "trace.md#destination-rule"
    CONNECTION_POOL_SMALL = "connection-pool-small", "trace.md#destination-rule"
    PEER_AUTHENTICATION_OFF = "peer-authentication-off", "trace.md#peer-authentication"
    PROXY_WITHOUT_ENDPOINT = "proxy-without-endpoint", "trace.md#proxy"
    GATEWAY_NOT_OPEN = "gateway-not-open", "trace.md#gateway"
    GATEWAY_WITHOUT_ROUTE = "gateway-without-route", "trace.md#gateway"
    AUTHORIZATION_REFUSES = "authorization-refuses", "trace.md#authorization"
    NETWORK_POLICY_BLOCKS = "network-policy-blocks", "trace.md#network-policy"
    SERVICE_UNKNOWN = "service-unknown", "trace.md#usage"

    # The sample
    SAMPLE_NOT_RUNNING = "sample-not-running"
    NO_SIDECAR = "no-sidecar"
    TOO_FEW_ANSWERS = "too-few-answers"
    CALLS_UNANSWERED = "calls-unanswered"
    CLIENT_CANNOT_CALL = "client-cannot-call"

    # An upgrade, in day-two.md
    UPGRADE_NOT_NEWER = "upgrade-not-newer", "day-two.md#path"
    UPGRADE_PINNED = "upgrade-pinned", "day-two.md#path"
    UPGRADE_NO_SURGE = "upgrade-no-surge", "day-two.md#judgement"
    UPGRADE_PROXIES_BEHIND = "upgrade-proxies-behind", "day-two.md#judgement"
    UPGRADE_VALUES_CHANGED = "upgrade-values-changed", "day-two.md#judgement"
    UPGRADE_FIELDS_DROPPED = "upgrade-fields-dropped", "day-two.md#judgement"
    UPGRADE_GATE = "upgrade-gate", "day-two.md#gate"
    UPGRADE_STOPPED = "upgrade-stopped", "day-two.md#gate"
    UPGRADE_NO_WAY_BACK = "upgrade-no-way-back", "day-two.md#back"
    UPGRADE_REVISION = "upgrade-revision", "day-two.md#by-revision"
    UPGRADE_NOTHING_RECORDED = "upgrade-nothing-recorded", "day-two.md#back"

    # Keys that change, in day-two.md
    ROTATION_DEFECT = "rotation-defect", "day-two.md#tokens"
    ROTATION_GATE = "rotation-gate", "day-two.md#tokens"
    ROTATION_NOT_REPLACED = "rotation-not-replaced", "day-two.md#tokens"
    ROTATION_READER_OUTSIDE = "rotation-reader-outside", "day-two.md#tokens"
    TOKEN_EXPIRES = "token-expires", "day-two.md#tokens"
    TOKEN_SHORTER = "token-shorter", "day-two.md#tokens"
    TOKEN_EXPIRED = "token-expired", "day-two.md#tokens"
    TOKEN_OLD = "token-old", "day-two.md#tokens"
    ROTATION_STOPPED = "rotation-stopped", "day-two.md#tokens"

    ROOT_FOLDER_NEEDED = "root-folder-needed", "day-two.md#root"
    ROOT_GATE = "root-gate", "day-two.md#root"
    ROOT_NOT_FOLLOWED = "root-not-followed", "day-two.md#root"
    ROOT_SETTINGS = "root-settings", "day-two.md#root"
    ROOT_STOPPED = "root-stopped", "day-two.md#root"
    INTERMEDIATE_GATE = "intermediate-gate", "day-two.md#intermediates"
    INTERMEDIATE_LEFT = "intermediate-left", "day-two.md#intermediates"
    INTERMEDIATE_NOT_FOLLOWED = "intermediate-not-followed", "day-two.md#intermediates"
    INTERMEDIATE_ROOT_CHANGES = "intermediate-root-changes", "day-two.md#intermediates"
    INTERMEDIATE_STOPPED = "intermediate-stopped", "day-two.md#intermediates"
    MERGE_ROOT_CHANGES = "merge-root-changes", "day-two.md#merge"
    MERGE_SAME_NAME = "merge-same-name", "day-two.md#merge"
    MERGE_SELF_SIGNED = "merge-self-signed", "day-two.md#merge"
    OWN_ROOT_IN_USE = "own-root-in-use", "day-two.md#own-root"
    OWN_ROOT_OTHER = "own-root-other", "day-two.md#own-root"
    OWN_ROOT_UNSIGNED = "own-root-unsigned", "day-two.md#own-root"
    CLUSTER_SILENT = "cluster-silent", "day-two.md#lost"
    CONTEXT_LOST = "context-lost", "day-two.md#lost"
    LOST_REFERENCES = "lost-references", "day-two.md#lost"
    LOST_RESPONDS = "lost-responds", "day-two.md#lost"
    LOST_SERVICES = "lost-services", "day-two.md#lost"

    # Taking away
    TOKENS_KEPT = "tokens-kept"
    SETTINGS_NAME_IT = "settings-name-it"
    NOT_A_MEMBER = "not-a-member"
    CA_ABSENT = "ca-absent", "ca-not-purged"
    CA_IN_USE = "ca-in-use", "ca-not-purged"
    CA_OF_ANOTHER_MESH = "ca-of-another-mesh", "ca-not-purged"
    NAMESPACE_STUCK = "namespace-stuck"
    ISTIOD_STILL_RUNS = "istiod-still-runs"

    # Anything else
    BIN_DIR_OFF_PATH = "bin-dir-off-path", "anything-else"
    BUNDLE_FULL = "bundle-full", "anything-else"
    BUNDLE_MANY_PODS = "bundle-many-pods", "anything-else"
    CA_STORE_BUSY = "ca-store-busy", "anything-else"
    CURRENT_FOLDER = "current-folder", "anything-else"
    FILE_EXISTS = "file-exists", "anything-else"
    FILE_UNREADABLE = "file-unreadable", "anything-else"
    FILE_UNWRITABLE = "file-unwritable", "anything-else"
    FOLDER_NOT_PRIVATE = "folder-not-private", "anything-else"
    GATEWAY_MISSING = "gateway-missing", "anything-else"
    INTERRUPTED = "interrupted", "anything-else"
    NO_OTHER_CLUSTER = "no-other-cluster", "anything-else"
    NOT_CONFIRMED = "not-confirmed", "anything-else"
    NOT_IN_THIS_RUN = "not-in-this-run", "anything-else"
    NOT_OURS = "not-ours", "anything-else"
    OPTION_MALFORMED = "option-malformed", "anything-else"
    OPTION_REPEATED = "option-repeated", "anything-else"
    OUTPUT_TAKEN = "output-taken", "anything-else"
    PLATFORM_UNKNOWN = "platform-unknown", "anything-else"
    SAMPLE_NOT_DEPLOYED = "sample-not-deployed", "anything-else"
    TOOL_UNKNOWN = "tool-unknown", "anything-else"
    TOOL_VERSION = "tool-version", "anything-else"
    TOOLS_MISSING = "tools-missing", "anything-else"
    TWO_PLATFORMS = "two-platforms", "anything-else"
    UNKNOWN_CHECK = "unknown-check", "anything-else"
    USAGE = "usage", "anything-else"
    INTERNAL = "internal"

    # In address.md
    GATEWAY_API_MISSING = "gateway-api-missing", "address.md#gateway"
    SERVICE_ADDRESS_WINS = "service-address-wins", "address.md#gateway"
    SETTINGS_DIFFER = "settings-differ", "address.md#later-installs"
    METALLB_MISSING = "metallb-missing", "address.md#metallb"
    NO_LOAD_BALANCER_SERVICE = "no-load-balancer-service", "address.md#metallb"
    POOL_OF_OTHERS = "pool-of-others", "address.md#metallb"
    ADDRESS_NOT_IN_POOL = "address-not-in-pool", "address.md#metallb"
    NO_BGP_PEER = "no-bgp-peer", "address.md#metallb"
    ADDRESS_NOT_PUBLIC = "address-not-public", "address.md#reach"
    ADDRESS_OF_OTHERS = "address-of-others", "address.md#three-ways"
    GATEWAY_ADDRESS_PENDING = "gateway-address-pending", "address.md#three-ways"
    ADDRESS_REMEMBERED = "address-remembered", "address.md#what-istiods-remember"

    # In cilium.md
    AGENTS_NOT_ROLLED_OUT = "agents-not-rolled-out", "cilium.md#agents-not-rolled-out"
    CHANGED_MEANWHILE = "changed-meanwhile", "cilium.md#changed-meanwhile"
    CHANGED_SINCE_BACKUP = "changed-since-backup", "cilium.md#changed-since-backup"
    READINESS_LOST = "readiness-lost", "cilium.md#readiness-lost"
    RESTART_BY_HAND = "restart-by-hand", "cilium.md#restart-by-hand"

    # In from-the-scripts.md
    NOTHING_TO_ADOPT = "nothing-to-adopt", "from-the-scripts.md#taking-over-a-mesh"

    # In usage.md
    NO_CONTEXTS = "no-contexts", "usage.md#contexts"
    NOT_INSTALLED = "not-installed"
    NO_MEMBERS = "no-members", "usage.md#contexts"
    TWO_MESHES = "two-meshes", "usage.md#contexts"
    IDENTITY_CHANGED = "identity-changed", "usage.md#identity"
    IDENTITY_SHARED = "identity-shared", "usage.md#identity"
    NETWORK_BY_ID = "network-by-id", "usage.md#identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault or warning that a person can act on.

    Attributes:
        cluster: Context name of the cluster concerned, or None where the whole mesh is.
        docs: Page and section that explain it; where none is given, those of the code.
        requests: What was requested, where a cluster refused it for a reason that concerns other requests
            too, such as a missing right.
    """

    code: Code
    message: str
    cluster: str | None = None
    seen: str | None = None
    expected: str | None = None
    hint: Hint | None = None
    docs: str = ""
    requests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.docs:
            object.__setattr__(self, "docs", self.code.docs)

    @property
    def topic(self) -> str:
        """The name under which `istio-mc explain` has the section that explains it."""
        return self.code.value if self.docs == self.code.docs else section_name(self.docs)

    def on(self, cluster: str) -> Problem:
        """The same problem, said of a cluster."""
        return replace(self, cluster=cluster)


class ProblemError(Exception):
    """Something failed: with every Problem that was found, so that they are reported together."""

    def __init__(self, *problems: Problem, warnings: Iterable[Problem] = ()) -> None:
        super().__init__("; ".join(problem.message for problem in problems))
        self.problems = problems
        self.warnings = tuple(warnings)

    @classmethod
    def of(
        cls,
        code: Code,
        message: str,
        *,
        cluster: str | None = None,
        seen: str | None = None,
        expected: str | None = None,
        hint: Hint | None = None,
        docs: str = "",
    ) -> Self:
        """The error of a single Problem, given by its fields."""
        return cls(
            Problem(
                code=code,
                message=message,
                cluster=cluster,
                seen=seen,
                expected=expected,
                hint=hint,
                docs=docs,
            )
        )


class InputError(ProblemError):
    """What the user gave cannot be used: exit code 2, and nothing was touched."""

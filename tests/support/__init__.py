"""A mesh that remembers: stand-in clusters on which istio-mc installs, links and uninstalls in a second.

Each cluster has an API server of its own (real HTTPS on 127.0.0.1) that keeps what is applied, patched,
created and deleted, with the controllers that Kubernetes and istiod would run. `istioctl` is a program that
applies what the real one (1.26.0) was recorded to make.

A test
------
Folders whose conftest imports the fixtures (tests/verbs has them) write::

    def test_a_second_run_changes_nothing(installed: Mesh) -> None:
        before = installed.snapshots()
        installed.run("install", "--contexts", "kt,ncloud,nhn").exits(0)
        assert installed.snapshots() == before

`mesh` is three bare clusters, kt, ncloud and nhn; `installed` is the same three as `install` leaves them,
`scripted` as the guide's scripts do. They are one mesh for all tests of a process, put back before each
test: that costs milliseconds, an install half a second. Other clusters, or another beginning:
`with remembering_mesh("kt", "ncloud") as mesh:`, and `mesh.state()` / `mesh.restore(state)`.

Runs
----
`mesh.run("uninstall", "--yes", "-o", "json")` runs the real command line in this process, in `mesh.folder`
(mesh.yaml, certs, kubeconfig); it gives a Result: `code`, `stdout`, `stderr`, `json`, `data`, `errors` and
`warnings` as (code, cluster), `cluster("kt")`, `exits(0)`. A deadline of a minute is added where none is
given. It returns once the controllers are idle; most requests skip TLS and HTTP (tests/support/direct.py).
`mesh.settings(meshID="other", clusters=[...])` writes another mesh.yaml.

`mesh.run(..., dies_after=n)`: nothing of this run reaches a cluster after its n-th write; the next run
finds the clusters as if it had been killed there. `dies_after="PATCH .*/deployments/istiod$"` names the write
instead. `mesh.writes` counts them, `kt.faults.writes` lists them. `mesh.start(..., killed_after=n)` is a
process of its own that really is killed (SIGKILL) there; `.wait()` gives its Result, `.left_behind()` waits
for what it had started.

Clusters
--------
`kt = mesh["kt"]`: `kt.get(kind, name, namespace)`, `kt.has(…)`, `kt.names(kind, namespace)`, and
`kt.store.of(kind)`; as somebody else: `kt.make(document)`, `kt.apply(document)`, `kt.edit(item, change)`,
`kt.delete(item)`; `kt.deploy("reviews", "sample")` runs a service with a sidecar, `kt.istioctl(document)`
installs (recording.another_revision("canary") is a second control plane), `daemons.Cilium(kt)` is Cilium.
`kt.settle()` waits until its controllers have nothing more to do; `mesh.snapshots()` does so for all, and
gives every object by `Kind.group namespace/name`; `changed(before, after)` names the differences.

Faults
------
- `mesh.when("PATCH .*/deployments/istiod$", lambda: mesh.cut("nhn"))`: once, after that write.
- `mesh.cut("kt")` (connections refused), `mesh.cut("kt", "silent")`, `mesh.heal("kt")`.
- `kt.faults.refuse(refusals.Refused(403, "Forbidden", "…"), "PATCH", path="/deployments/", times=1)`;
  refusals.too_many, refusals.denied_by_webhook and others are as API servers write them.
- `kt.faults.denied.add("create secrets")`: a right that the administrator lacks (`* secrets`, `list *`).
- `kt.faults.breaks_every = 5`: every fifth port-forward breaks; `kt.faults.forwards` counts them.
- `kt.faults.slow_s = 0.2`; `kt.faults.requests`, `kt.faults.writes`: what was asked.
- `kt.stuck["istiod"] = "ImagePullBackOff"`: pods of that name do not become ready.
- `kt.balancer = ""`: LoadBalancer Services stay pending; a name instead of an IP address: a hostname.
- `kt.controllers.held.add("tokens")`: a controller that does nothing for now (controllers.ALL has their
  names, `istiods` is istiod's own).
- `kt.native_sidecars = True`: sidecars are injected as since Istio 1.27.
- `kt.unreached.add("nhn")`: calls from kt's pods to nhn's gateway come to nothing (`sample test`, `--deep`).
- `mesh.aliases["kt"] = "https://…"`: another address at which istiods of others reach kt.

istiod
------
`kt.istiods.running()`: each has its `issuer` (the CA it signs with), `remotes`, and
`kt.istiods.clusterz(one)`. It takes cacerts up when it starts; a later one of the same root, or of any with
ISTIO_MULTIROOT_MESH, at once. A remote secret makes a cluster `synced` where it parses, names one of the
mesh's API servers and its CA, and holds a token that is good and may list pods; `closed` for good where it
does not parse; else `timeout`. Its debug endpoints list the gateways and endpoints of what is synced;
`one.blind.add("nhn-nks")` has it lack those of a cluster until it restarts, `one.stale["nhn-nks"] = ["…"]`
has it keep other addresses of a gateway.

Manifests
---------
tests/support/recording.py names the shapes of IstioOperator documents that were recorded, and records them
anew from the real istioctl. A shape that was not is refused by the stand-in with that advice.

Beside them
-----------
What smaller tests share: world.py (what lives in three clusters without a fault, as values), fake_api.py (an
API server that responds with what a test gives it), forge.py (certificates of any kind), other servers and
programs.
"""

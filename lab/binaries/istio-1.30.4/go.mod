// Istio 1.30.4, built where official downloads are out of reach. Its tags carry no v, hence the long name.
module istio-mc/lab/binaries/istio-1.30.4

go 1.25.9

require istio.io/istio v0.0.0-20260826214018-9739e10eb9d7

// What it asks for itself is no longer served by the module proxy; these are the nearest that are.
replace (
	github.com/agentgateway/agentgateway/api => github.com/agentgateway/agentgateway/api v0.0.0-20260501213430-773586679f1c
	github.com/envoyproxy/go-control-plane/contrib => github.com/envoyproxy/go-control-plane/contrib v1.36.1-0.20260713214202-ca8ce173c36f
	github.com/envoyproxy/go-control-plane/envoy => github.com/envoyproxy/go-control-plane/envoy v1.37.1-0.20260713214202-ca8ce173c36f
	istio.io/api => istio.io/api v1.30.8
	istio.io/client-go => istio.io/client-go v1.30.8
)

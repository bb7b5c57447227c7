// Istio 1.28.3, built where official downloads are out of reach. Its tags carry no v, hence the long name.
module istio-mc/lab/binaries/istio-1.28.3

go 1.24.0

require istio.io/istio v0.0.0-20260114100434-4c1f845d839e

// What it asks for itself is no longer served by the module proxy; this is the nearest that is.
replace github.com/envoyproxy/go-control-plane => github.com/envoyproxy/go-control-plane v0.14.0

// Istio 1.31.0, built where official downloads are out of reach. Its tags carry no v, hence the long name.
module istio-mc/lab/binaries/istio-1.31.0

go 1.26.0

require istio.io/istio v0.0.0-20260827124520-eed52ebb66ad

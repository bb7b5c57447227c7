// Istio 1.29.1, built where official downloads are out of reach. Its tags carry no v, hence the long name.
module istio-mc/lab/binaries/istio-1.29.1

go 1.25.0

require istio.io/istio v0.0.0-20260306174214-6991a379e1fc

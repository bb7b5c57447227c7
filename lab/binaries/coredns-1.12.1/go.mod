// CoreDNS, built where official downloads are out of reach: it needs another client-go than Kubernetes 1.33.
module istio-mc/lab/binaries/coredns-1.12.1

go 1.24.0

require github.com/coredns/coredns v1.12.1

// The lab's own programs. They are built in the module of the Kubernetes they run beside (kubernetes-*), which
// compiles what they share once.
module istio-mc/lab/binaries

go 1.24.0

require (
	k8s.io/api v0.33.13
	k8s.io/apimachinery v0.33.13
	k8s.io/client-go v0.33.13
)

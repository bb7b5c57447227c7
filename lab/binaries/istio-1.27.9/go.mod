// Istio 1.27.9, built where official downloads are out of reach. Its tags carry no v, hence the long name.
module istio-mc/lab/binaries/istio-1.27.9

go 1.24.0

require istio.io/istio v0.0.0-20260403063052-b9159ca3e5d5

// What it asks for itself is no longer served by the module proxy; these are the nearest that are: Istio 1.28.3's.
replace (
	istio.io/api => istio.io/api v1.28.2-0.20251205082437-fde1452f70bc
	istio.io/client-go => istio.io/client-go v1.28.2-0.20251205082736-a6e3a5710bb0
)

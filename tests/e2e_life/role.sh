#!/usr/bin/env bash
# What K-PaaS's Ansible role does for its own clusters, written from what is known of it: the guide's sequence
# (benchmarks/published.sh), but contexts and clusters have the same names, certificates are in the home directory, the
# network's label is set after the installs, each cluster gets a remote secret for itself too, and no failure ends the run.
#
#   role.sh DOCUMENTS GATEWAY_API_CRDS CLUSTER…
#
# DOCUMENTS has the IstioOperators of each cluster. $STEP is the program `step`.
set -u
documents=$1 crds=$2
shift 2
certs=$HOME/certs

create() { # NAME FILE KEY OPTION…: a certificate
  local name=$1 file=$2 key=$3
  shift 3
  "$STEP" certificate create "$name" "$file" "$key" --san "$name" --kty RSA --not-after 87600h --no-password --insecure "$@"
}

mkdir -p "$certs"
create root.istio.io "$certs/root-cert.pem" "$certs/root-ca.key" --profile root-ca
number=0
for name in "$@"; do
  number=$((number + 1))
  mkdir -p "$certs/$name"
  create "$name.intermediate.istio.io" "$certs/$name/ca-cert.pem" "$certs/$name/ca-key.pem" --profile intermediate-ca \
    --ca "$certs/root-cert.pem" --ca-key "$certs/root-ca.key"
  cat "$certs/$name/ca-cert.pem" "$certs/root-cert.pem" >"$certs/$name/cert-chain.pem"
  kubectl --context "$name" create namespace istio-system
  kubectl --context "$name" -n istio-system create secret generic cacerts \
    --from-file="$certs/$name/ca-cert.pem" --from-file="$certs/$name/ca-key.pem" \
    --from-file="$certs/$name/cert-chain.pem" --from-file="$certs/root-cert.pem"
  for document in control-plane gateway; do
    istioctl install --context "$name" -n istio-system -y -f "$documents/$name-$document.yaml"
  done
  kubectl --context "$name" -n istio-system apply -f "$documents/expose.yaml"
  kubectl --context "$name" get crd gateways.gateway.networking.k8s.io || kubectl --context "$name" apply -f "$crds"
  kubectl --context "$name" label namespace istio-system "topology.istio.io/network=network$number"
done
for from in "$@"; do
  for to in "$@"; do
    istioctl create-remote-secret --context "$from" -n istio-system --name "$from" |
      kubectl --context "$to" -n istio-system apply -f -
  done
done
exit 0

#!/usr/bin/env bash
# The published guide's sequence: every context of the kubeconfig is a cluster, numbered in the order
# of the listing, and one cluster comes after another. The IstioOperator documents stand ready in FOLDER.
# Two things differ from the guide: a failure ends the run instead of being passed over, and the address of
# a gateway that stays pending, which the guide has its reader set by hand, is set here without a pause.
#
#   published.sh FOLDER GATEWAY_API_CRDS [CONTEXT=ADDRESS …]
#
# $STEP is the program `step`. Each step's time goes to file descriptor 3: context, step, seconds since the start at its begin and end.
set -euo pipefail
folder=$1 crds=$2
shift 2
declare -A address=()
for pair in "$@"; do address[${pair%%=*}]=${pair#*=}; done
begun=$EPOCHREALTIME

since() { awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.3f", b - a }'; }

step() { # step CONTEXT NAME COMMAND…
  local context=$1 name=$2 from
  shift 2
  from=$(since)
  echo "── $context: $name"
  "$@"
  printf '%s\t%s\t%s\t%s\n' "$context" "$name" "$from" "$(since)" >&3
}

read_contexts() {
  local name cluster rest
  while read -r name cluster rest; do
    contexts+=("$name")
    clusters+=("$cluster")
  done < <(kubectl config get-contexts --no-headers | sed 's/^\*/ /')
}

root_ca() {
  mkdir -p "$folder/certs"
  "$STEP" certificate create root.istio.io "$folder/certs/root-cert.pem" "$folder/certs/root-ca.key" \
    --profile root-ca --san root.istio.io --kty RSA --not-after 87600h --no-password --insecure
}

cluster_ca() { # CLUSTER
  local certs=$folder/certs/$1 name=$1.intermediate.istio.io
  mkdir -p "$certs"
  "$STEP" certificate create "$name" "$certs/ca-cert.pem" "$certs/ca-key.pem" \
    --profile intermediate-ca --san "$name" --kty RSA --not-after 87600h --no-password --insecure \
    --ca "$folder/certs/root-cert.pem" --ca-key "$folder/certs/root-ca.key"
  cat "$certs/ca-cert.pem" "$folder/certs/root-cert.pem" >"$certs/cert-chain.pem"
}

namespace() { # CONTEXT NETWORK
  kubectl --context "$1" create namespace istio-system
  kubectl --context "$1" label namespace istio-system "topology.istio.io/network=$2"
}

cacerts() { # CONTEXT CLUSTER
  local certs=$folder/certs/$2
  kubectl --context "$1" -n istio-system create secret generic cacerts \
    --from-file="$certs/ca-cert.pem" --from-file="$certs/ca-key.pem" \
    --from-file="$certs/cert-chain.pem" --from-file="$folder/certs/root-cert.pem"
}

gateway_api() { # CONTEXT
  kubectl --context "$1" get crd gateways.gateway.networking.k8s.io ||
    kubectl --context "$1" apply -f "$crds"
}

external_address() { # CONTEXT
  kubectl --context "$1" -n istio-system patch service istio-ingressgateway \
    -p "{\"spec\":{\"externalIPs\":[\"${address[$1]}\"]}}"
}

remote_secret() { # FROM CLUSTER TO
  istioctl create-remote-secret --context "$1" -n istio-system --name "$2" |
    kubectl --context "$3" -n istio-system apply -f -
}

contexts=() clusters=()
step mesh "read contexts" read_contexts
step mesh "root CA" root_ca
for i in "${!contexts[@]}"; do
  context=${contexts[$i]} cluster=${clusters[$i]}
  step "$context" "cluster CA" cluster_ca "$cluster"
  step "$context" "namespace" namespace "$context" "network$((i + 1))"
  step "$context" "cacerts" cacerts "$context" "$cluster"
  step "$context" "control plane" \
    istioctl install --context "$context" -n istio-system -y -f "$folder/$context-control-plane.yaml"
  step "$context" "gateway" \
    istioctl install --context "$context" -n istio-system -y -f "$folder/$context-gateway.yaml"
  step "$context" "expose" kubectl --context "$context" -n istio-system apply -f "$folder/expose.yaml"
  step "$context" "Gateway API" gateway_api "$context"
  [ -z "${address[$context]:-}" ] || step "$context" "gateway address" external_address "$context"
done
for i in "${!contexts[@]}"; do
  for j in "${!contexts[@]}"; do
    [ "$i" = "$j" ] || step "${contexts[$j]}" "remote secret" \
      remote_secret "${contexts[$i]}" "${clusters[$i]}" "${contexts[$j]}"
  done
done
for context in "${contexts[@]}"; do
  step "$context" "remote-clusters" istioctl remote-clusters --context "$context" -n istio-system
done

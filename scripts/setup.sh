#!/usr/bin/env bash
# Installs what is missing on a Debian 12 machine and builds bin/confluo-host.
#
#   scripts/setup.sh          what the agent needs
#   scripts/setup.sh --test   also what the tests need
#
# Without root it installs nothing and builds what the machine allows: without
# libdpdk there is no dpdk source, without libpcap no bpf: expression.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/go.sh

want=(ca-certificates git gcc libc6-dev pkg-config dpdk libdpdk-dev libpcap-dev iproute2)
if [ "${1:-}" = --test ]; then
  want+=(tshark tcpdump iperf3 iputils-ping ethtool tcpreplay procps curl prometheus-alertmanager)
fi

missing=()
for p in "${want[@]}"; do
  dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed' || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ]; then
    say "installing ${missing[*]}"
    apt-get -qq update
    # A package may start a service that this machine cannot run; only its files are wanted.
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
  else
    say "not root, so these are not installed: ${missing[*]}"
  fi
fi

find_go
find_features
say "building bin/confluo-host (${FEATURES})"
mkdir -p bin
go build -trimpath -tags "$TAGS" -o bin/confluo-host ./cmd/confluo-host

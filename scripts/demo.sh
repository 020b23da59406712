#!/usr/bin/env bash
# Installs what is missing, builds, runs the agent over this machine's default
# interface and shows live status: the first of the README's two commands.
#
#   scripts/demo.sh                  DPDK; without it AF_PACKET; without root made-up traffic
#   scripts/demo.sh --interface IF   another interface
#   scripts/demo.sh --pcap FILE      replay a capture file
#   scripts/demo.sh --seconds N      end after N seconds (without it: Ctrl-C)
set -euo pipefail
cd "$(dirname "$0")/.."
interface="" file="" seconds=""
while [ $# -gt 0 ]; do
  case $1 in
    --interface) interface=${2:?}; shift 2 ;;
    --pcap) file=$(realpath "${2:?}"); shift 2 ;;
    --seconds) seconds=${2:?}; shift 2 ;;
    *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
  esac
done

scripts/setup.sh
. scripts/go.sh
find_go
find_features

mkdir -p bin
config=bin/demo.yaml socket=$PWD/bin/host.sock
if [ -z "$file" ] && [ "$(id -u)" != 0 ]; then
  say "not root, so no interface can be captured: replaying made-up traffic instead"
  file=$PWD/bin/sample.pcap
  go run ./scripts/sample "$file"
fi
if [ -n "$file" ]; then
  sed "s|paths: .*|paths: [$file]|" configs/host-pcap.yaml >"$config"
else
  : "${interface:=$(ip -o route show default 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p' | head -1)}"
  : "${interface:=lo}"
  if [ "$TAGS" = dpdk ]; then
    say "capturing $interface through DPDK (net_af_packet)"
    sed "s|iface=eth0|iface=$interface|" configs/host-dpdk.yaml >"$config"
  else
    say "libdpdk is not installed: capturing $interface through AF_PACKET"
    sed "s|interface: eth0|interface: $interface|" configs/host-afpacket.yaml >"$config"
  fi
fi
printf '\napi:\n  socket: %s\n' "$socket" >>"$config"

bin/confluo-host run -c "$config" 2>bin/agent.log &
agent=$!
# The agent drains and prints its ledger when it is told to end.
trap 'kill "$agent" 2>/dev/null || true; wait "$agent" || true; tail -n 3 bin/agent.log >&2' EXIT
for _ in $(seq 600); do # memory is touched before the first frame, which may take a while
  bin/confluo-host status --socket "$socket" -o json 2>/dev/null | grep -q '"state": "running"' && break
  kill -0 "$agent" 2>/dev/null || { cat bin/agent.log >&2; exit 1; }
  sleep 0.1
done

cat >&2 <<END

The agent runs. Ask it from a second terminal, in $PWD:

  bin/confluo-host query --socket $socket --last 1m --limit 20 'tcp'
  bin/confluo-host count --socket $socket 'dst_port == 53'
  bin/confluo-host aggregate eval --socket $socket 'TOPK(dst_ip, 5)'
  bin/confluo-host alerts --socket $socket --follow

END
if [ -t 1 ] && [ -z "$seconds" ]; then
  bin/confluo-host status --socket "$socket" --watch
else
  for _ in $(seq "${seconds:-5}"); do
    sleep 1
    bin/confluo-host status --socket "$socket"
  done
fi

# Sourced by the other scripts: finds Go and what the build can have.

say() { printf '==> %s\n' "$*" >&2; }

# find_go puts a Go that can build this module on the PATH. Debian 12 has an old
# one, which is enough to fetch the right one as a module.
find_go() {
  local want version dir
  want=$(awk '$1 == "go" {print $2}' go.mod)
  [ -d /usr/local/go/bin ] && PATH=/usr/local/go/bin:$PATH
  if command -v go >/dev/null && [ "$(printf '%s\n' 1.21 "$(go env GOVERSION | sed 's/^go//; s/[^0-9.].*//')" | sort -V | head -1)" = 1.21 ]; then
    return # it fetches the version that go.mod names by itself
  fi
  if ! command -v go >/dev/null; then
    [ "$(id -u)" = 0 ] || { say "Go is not installed; install Go $want, or run this as root"; exit 1; }
    say "installing Debian's Go to fetch Go $want with"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends golang-go >/dev/null
  fi
  version=v0.0.1-go$want.linux-$(dpkg --print-architecture)
  say "fetching Go $want"
  dir=$(cd / && go mod download -json "golang.org/toolchain@$version" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
  [ -n "$dir" ] || { say "could not fetch Go $want"; exit 1; }
  chmod -R u+rwX "$dir"
  chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
  export GOROOT=$dir PATH=$dir/bin:$PATH
}

# find_features sets the build tags and environment for what is installed.
find_features() {
  TAGS="" FEATURES="capture files, AF_PACKET"
  export CGO_ENABLED=0
  if command -v gcc >/dev/null && command -v pkg-config >/dev/null && pkg-config --exists libpcap; then
    CGO_ENABLED=1 FEATURES="$FEATURES, bpf: expressions"
    if pkg-config --exists libdpdk; then
      TAGS=dpdk FEATURES="$FEATURES, DPDK"
    fi
  fi
  case $(uname -m) in
    x86_64) export GOEXPERIMENT=simd FEATURES="$FEATURES, vector instructions" ;;
  esac
}

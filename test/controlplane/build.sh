#!/usr/bin/env bash
# Builds the control plane that the tests run against, etcd and kube-apiserver, at the
# versions that go.mod in this folder pins, and prints the folder in which they are.
#
# The folder is .cache/controlplane of the repository, or CONTROLPLANE_DIR. What is there
# is kept and used again until go.mod, go.sum, the Go toolchain or this script changes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dir=${CONTROLPLANE_DIR:-$here/../../.cache/controlplane}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
cd "$here"

# Flags and workspaces of the caller are for another module than this one.
export CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly

fingerprint=$({
	go env GOVERSION GOOS GOARCH
	cat go.mod go.sum "${BASH_SOURCE[0]##*/}"
} | git hash-object --stdin)

tmp=
trap 'rm -rf "${tmp:-}"' EXIT

# build NAME PACKAGE MODULE [LDFLAGS] leaves NAME in $dir. The stamp is written after the
# binary was moved into place, and both are renamed within one file system: a build that
# is interrupted leaves the folder as it was.
build() {
	local name=$1 package=$2 module=$3 flags=${4:-} version
	if [[ -x $dir/$name && $(cat "$dir/$name.stamp" 2>/dev/null) == "$fingerprint" ]]; then
		return
	fi
	version=$(go list -m -f '{{.Version}}' "$module")
	echo "Building $name $version from its Go module. The first time this takes minutes; the result is kept in $dir." >&2
	tmp=$(mktemp -d "$dir/.build.XXXXXX")
	go build -trimpath -ldflags "-s -w ${flags//VERSION/$version}" -o "$tmp/$name" "$package"
	echo "$fingerprint" >"$tmp/$name.stamp"
	mv -f "$tmp/$name" "$dir/$name"
	mv -f "$tmp/$name.stamp" "$dir/$name.stamp"
	rm -rf "$tmp"
	tmp=
}

# A module that is built as a dependency has no version of its own stamped in; without it
# the API server would report v0.0.0-master to every client.
build etcd go.etcd.io/etcd/server/v3 go.etcd.io/etcd/server/v3
build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes \
	'-X k8s.io/component-base/version.gitVersion=VERSION'

echo "$dir"

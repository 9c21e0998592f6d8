#!/bin/sh
# build.sh IMAGE...: builds these images (serving, registry, trainer) with podman or docker, as `make images` says.
#
# From the environment: ENGINE (podman or docker; empty: which is there), TAG (dev), BASE, WHEELHOUSE (a folder of
# wheels, instead of any index), PIP_CONFIG (pip's configuration, mounted while building), TORCH_INDEX, EXTRAS, NETWORK.
set -eu
cd "$(dirname "$0")/../.."
engine=${ENGINE:-$(command -v podman || command -v docker)} || { echo "neither podman nor docker is here" >&2; exit 2; }
# The time of the commit, not of the build: the same commit gives the same layers.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' martlet/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

images=$*

set -- --file deploy/docker/Dockerfile --build-arg "VERSION=$version" --build-arg "REVISION=$revision" \
	${BASE:+--build-arg "BASE=$BASE"} ${TORCH_INDEX:+--build-arg "TORCH_INDEX=$TORCH_INDEX"} \
	${EXTRAS:+--build-arg "EXTRAS=$EXTRAS"} ${WHEELHOUSE:+--build-context "wheelhouse=$WHEELHOUSE"} \
	${PIP_CONFIG:+--secret "id=pip,src=$PIP_CONFIG"} ${NETWORK:+--network "$NETWORK"}
case $(basename "$engine") in
podman) set -- build --format docker --timestamp "$epoch" "$@" ;; # this format has health checks
*) set -- buildx build --load --build-arg "SOURCE_DATE_EPOCH=$epoch" "$@" ;;
esac
for image in $images; do
	"$engine" "$@" --target "$image" --tag "localhost/martlet-$image:${TAG:-dev}" .
done

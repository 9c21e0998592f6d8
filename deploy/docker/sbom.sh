#!/bin/sh
# sbom.sh SYFT FOLDER IMAGE...: writes FOLDER/martlet-IMAGE.cdx.json, what each built image holds, Debian's packages and
# Python's, as CycloneDX. From the environment: ENGINE and TAG, as for build.sh.
set -eu
syft=$1
folder=$2
shift 2
engine=${ENGINE:-$(command -v podman || command -v docker)} || { echo "neither podman nor docker is here" >&2; exit 2; }
mkdir -p "$folder"
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
for image in "$@"; do
	name=localhost/martlet-$image:${TAG:-dev}
	rm -f "$archive" # podman does not write into a file that is there
	"$engine" save --output "$archive" "$name"
	SYFT_CHECK_FOR_APP_UPDATE=false "$syft" scan --quiet "docker-archive:$archive" --source-name "martlet-$image" \
		--output "cyclonedx-json=$folder/martlet-$image.cdx.json"
	echo "$folder/martlet-$image.cdx.json"
done

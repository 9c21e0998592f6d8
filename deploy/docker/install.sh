#!/bin/sh
# install.sh FOLDER LIST: installs what LIST.txt beside this file names below FOLDER, beside what the environment
# /opt/venv has already, and removes what no service runs.
#
# Wheels come from the folder /wheelhouse if there are any, else from pip's index and TORCH_INDEX. Nothing is compiled:
# nkeys alone is published as source, and is Python through and through.
set -eu
into=$1
list=$2
here=$(dirname "$0")

if ls /wheelhouse/*.whl >/dev/null 2>&1; then
	set -- --no-index --find-links /wheelhouse
else
	set -- --no-binary nkeys ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"}
fi
/tools/bin/pip --python /opt/venv/bin/python install --quiet --prefix "$into/opt/venv" --only-binary :all: --no-compile \
	--constraint "$here/constraints.txt" --requirement "$here/$list.txt" "$@"
"$here/trim.sh" "$into"

#!/bin/sh
# own.sh: builds Martlet's wheel from the source in this folder, installs it below /app, and makes the empty folders of
# the images: /app/opt/martlet/models for a user's models, /data for what a service keeps.
set -eu
if ls /wheelhouse/*.whl >/dev/null 2>&1; then
	set -- --no-index --find-links /wheelhouse
fi
/tools/bin/pip wheel --quiet --no-deps --wheel-dir /wheel "$@" .
/tools/bin/pip --python /opt/venv/bin/python install --quiet --no-index --no-deps --no-compile --prefix /app/opt/venv /wheel/*.whl
mkdir -p /app/opt/martlet/models /data
cd /app/opt/venv/lib/python3*/site-packages
find . -type f -name '*.pyi' -delete
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .

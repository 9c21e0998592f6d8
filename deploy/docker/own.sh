#!/bin/sh
# own.sh: builds Martlet's wheel from the source in this folder, and installs it below /app.
set -eu
if ls /wheelhouse/*.whl >/dev/null 2>&1; then
	set -- --no-index --find-links /wheelhouse
fi
/tools/bin/pip wheel --quiet --no-deps --wheel-dir /wheel "$@" .
/tools/bin/pip --python /opt/venv/bin/python install --quiet --no-index --no-deps --no-compile --prefix /app/opt/venv /wheel/*.whl
cd /app/opt/venv/lib/python3*/site-packages
find . -type f -name '*.pyi' -delete
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash .

#!/bin/sh
# trim.sh FOLDER: removes from the packages below FOLDER what no service ever runs, and compiles the rest.
#
# tests/containers run every image for real, so what is wrongly removed here is noticed there.
set -eu
cd "$1/opt/venv"

# Commands that the packages bring; torchrun starts training in several processes.
find bin -type f ! -name 'martlet*' ! -name torchrun -delete
cd lib/python3*/site-packages

# Packages' own tests. numpy.testing looks into the first of these; torch's sit elsewhere.
find . -type d -name tests ! -path './numpy/_core/tests' -prune -exec rm -r {} +
[ ! -d numpy/_core/tests ] || find numpy/_core/tests -type f ! -name '__init__.py' ! -name '_natype.py' -delete

# What a compiler or a type checker wants. torch's C++ headers alone are 60 MB.
find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.a' \) -delete
rm -rf torch/include torch/share/cmake torch/test numpy/_core/include numpy/f2py numpy/distutils
[ ! -d torch/bin ] || find torch/bin -type f ! -name torch_shm_manager -delete

# The client of S3 describes some 400 other services. Of these stay what S3 and finding credentials need.
if [ -d botocore/data ]; then
	find botocore/data -mindepth 1 -maxdepth 1 -type d \
		! -name s3 ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -r {} +
fi

# onnxruntime: the library for C programs (Python's module holds its own copy), and tools that make or convert models.
if [ -d onnxruntime ]; then
	rm -rf onnxruntime/capi/libonnxruntime.so* onnxruntime/transformers onnxruntime/quantization onnxruntime/tools \
		onnxruntime/datasets onnxruntime/backend
fi

# A read-only image cannot be compiled where it runs. Without a look at the sources: faster to start, and the same bytes
# whenever it is built.
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -x 'torch/testing/_internal/py312_' .
